// Whether a connection still lives. One that dies without a word, as in a phone that sleeps or
// behind a cable that is pulled, looks to the browser as if the server just said nothing; but the
// server says something every 15 seconds.

const BEAT = 17_000; // ms; after so long in silence one that wakes up does not wait any more
const SILENT = 35_000; // two heartbeats, and a bit for the way

/**
 * @param giveUp called, perhaps more than once, when nothing comes through any more
 * @returns {{heard: () => void, end: () => void}} to be told of each byte; to be ended
 */
export function watch(giveUp) {
  let last = Date.now(); // a clock that goes on while the machine sleeps
  const look = (longest) => Date.now() - last > longest && giveUp();
  const timer = setInterval(look, 1000, SILENT);
  const leave = onWake((anew) => look(anew ? 0 : BEAT));
  const end = () => {
    clearInterval(timer);
    leave();
  };
  return { heard: () => (last = Date.now()), end };
}

/**
 * Calls when the page is seen again, or has a network again. What comes out of the browser's
 * cache is loaded anew (chat.js).
 * @param wake told whether what was open before is dead for sure
 * @returns what ends it
 */
export function onWake(wake) {
  const seen = () => document.visibilityState === "visible" && wake(false);
  const online = () => wake(true);
  document.addEventListener("visibilitychange", seen);
  addEventListener("online", online);
  return () => {
    document.removeEventListener("visibilitychange", seen);
    removeEventListener("online", online);
  };
}
