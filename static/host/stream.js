// One answer from its first event to its last, however often the connection drops. The server
// writes the answer whether or not anybody listens; following again picks up after the last
// event that was seen.

import { events } from "./sse.js";

const LONGEST_WAIT = 8000; // ms
const TRIES = 12;

/**
 * @param {Response} response an open event stream
 * @param {string} url where the same answer can be followed again
 * @param {(event: string, data: object) => void} handle also told "lost" and "found"
 * @returns {Promise<"ended"|"gone"|"lost"|"aborted">} gone: the server no longer runs this answer
 */
export async function consume(response, url, handle, signal) {
  let last = "";
  for (;;) {
    let ended = false;
    try {
      for await (const event of events(response.body)) {
        if (event.id) last = event.id;
        const data = parse(event.data);
        if (!data) continue;
        if (event.event === "done" || event.event === "error") ended = true;
        handle(event.event, data);
        if (event.event === "done") return "ended";
      }
    } catch {
      /* cut in the middle: the same as an end without "done" */
    }
    if (ended) return "ended";
    if (signal?.aborted) return "aborted";
    handle("lost", {});
    response = await followAgain(url, last, signal);
    if (typeof response === "string") return response;
    handle("found", {});
  }
}

/** Follows a running answer: a response, or why there is none. */
export async function follow(url, last, signal) {
  const headers = { Accept: "text/event-stream" };
  if (last) headers["Last-Event-ID"] = last;
  const response = await fetch(url, { headers, cache: "no-store", signal });
  if (response.status === 200) return response;
  if (response.status >= 500 || response.status === 429) throw new Error(`status ${response.status}`);
  return "gone"; // 204: nothing runs; 4xx: not ours any more
}

/** The same, tried until it works; "lost" when it does not for a minute. */
export async function followAgain(url, last, signal) {
  for (let n = 0; n < TRIES; n++) {
    await pause(Math.min(LONGEST_WAIT, 300 * 2 ** n), signal);
    if (signal?.aborted) return "aborted";
    try {
      return await follow(url, last, signal);
    } catch {
      /* still down */
    }
  }
  return "lost";
}

/** Waits, but looks at once when the network comes back. */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      removeEventListener("online", over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    addEventListener("online", over);
    signal?.addEventListener("abort", over, { once: true });
  });
}

function parse(data) {
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}
