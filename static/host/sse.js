// Reads text/event-stream from a fetch response. EventSource cannot post and cannot send a
// header, so this is the part of its specification that we need: fields, comments, ids,
// every kind of line end, and lines and characters cut anywhere by the network.

/**
 * @param {ReadableStreamDefaultReader} reader of the body
 * @param heard called for everything that comes, a heartbeat too
 * @yields {{id: string, event: string, data: string}}
 */
export async function* events(reader, heard) {
  const decoder = new TextDecoder();
  const parser = new Parser();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return; // an event without its blank line at the end was cut off: dropped
      heard();
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export class Parser {
  #rest = "";
  #afterCr = false; // a CR at the end of one chunk and an LF at the start of the next are one line end
  #id = "";
  #event = "";
  #data = [];

  push(text) {
    if (!text) return [];
    const skip = this.#afterCr && text.startsWith("\n");
    this.#afterCr = text.endsWith("\r");
    if (skip) text = text.slice(1);
    const lines = (this.#rest + text).split(/\r\n|\r|\n/);
    this.#rest = lines.pop();
    const found = [];
    for (const line of lines) {
      const event = this.#line(line);
      if (event) found.push(event);
    }
    return found;
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null; // a comment: the server keeps the connection awake
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    return null;
  }

  #dispatch() {
    const event = this.#data.length
      ? { id: this.#id, event: this.#event || "message", data: this.#data.join("\n") }
      : null;
    this.#event = "";
    this.#data = [];
    return event;
  }
}
