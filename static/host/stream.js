// One answer from its first event to its last, however often the connection drops. The server
// writes the answer whether or not anybody listens; following again picks up after the last
// event that was seen.

import { onWake, watch } from "./awake.js";
import { fetchWithin } from "./http.js";
import { events } from "./sse.js";

const LONGEST_WAIT = 8000; // ms
const TRIES = 12;
const LATE = 15_000; // ms without the head of a response; it comes at once from a server that lives

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
    const reader = response.body.getReader();
    // Given up it ends as one that was cut.
    const life = watch(() => reader.cancel().catch(() => {}));
    try {
      for await (const event of events(reader, life.heard)) {
        if (event.id) last = event.id;
        const data = parse(event.data);
        if (!data) continue;
        if (event.event === "done" || event.event === "error") ended = true;
        handle(event.event, data);
        if (event.event === "done") return "ended";
      }
    } catch {
      /* cut in the middle: the same as an end without "done" */
    } finally {
      life.end();
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
  const response = await fetchWithin(LATE, url, { headers, cache: "no-store", signal });
  if (response.status === 200) return response;
  if (response.status >= 500 || response.status === 429) throw new Error(`status ${response.status}`);
  return "gone"; // 204: nothing runs of what was seen; 4xx: not ours any more
}

/** The same, tried until it works; "lost" when it does not for a minute that has a network. */
export async function followAgain(url, last, signal) {
  for (let n = 0; n < TRIES; n++) {
    await pause(Math.min(LONGEST_WAIT, 300 * 2 ** n), signal);
    if (signal?.aborted) return "aborted";
    try {
      return await follow(url, last, signal);
    } catch (error) {
      if (signal?.aborted) return "aborted";
      // offline.js says so, and looks as well.
      if (!/^status/.test(error.message)) dispatchEvent(new Event("apiary:unreachable"));
      if (!navigator.onLine) n = Math.min(n, TRIES - 2);
    }
  }
  return "lost";
}

/** Waits, but looks at once when the page wakes up. */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      leave();
      signal?.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    const leave = onWake(over);
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
