// Follows a growing answer only while the reader is at its end, and says so otherwise.

import { land } from "./focus.js";

const NEAR = 80; // px from the end that still count as "at the end"

export function followEnd(content, jump) {
  const root = document.scrollingElement;
  const atEnd = () => root.scrollHeight - root.clientHeight - root.scrollTop < NEAR;
  let pinned = false; // until there is something to follow
  let last = { top: 0, height: 0 };
  let resized = 0; // when the content last changed its height
  let moved = 0; // when the reader last moved the page

  const toEnd = () => root.scrollTo({ top: root.scrollHeight, behavior: "instant" });
  const panel = content.querySelector(".connect-panel");
  const connecting = () => panel && !panel.hidden;
  /** It would lie on the place to connect. */
  const onPanel = () => connecting() && panel.getBoundingClientRect().top < innerHeight;
  const show = () => (jump.hidden = pinned || atEnd() || onPanel() || !content.querySelector(".turn"));

  for (const name of ["wheel", "touchmove", "keydown"]) {
    addEventListener(name, () => (moved = performance.now()), { passive: true });
  }

  // Content that shrinks or grows also scrolls; only the reader's own way up unpins. Of many turns
  // those above get their height as they come near: then the reader's hand has to be seen.
  addEventListener("scroll", () => {
    const now = { top: root.scrollTop, height: root.scrollHeight };
    const up = now.top < last.top && now.height >= last.height;
    const since = (time) => performance.now() - time;
    const quiet = !content.querySelector(".many") || since(resized) > 150 || since(moved) < 500;
    // Near the place to connect is near the end, and nothing is to be followed there.
    if (!pinned || (up && quiet)) pinned = atEnd() && !connecting();
    last = now;
    show();
  }, { passive: true });

  new ResizeObserver(() => {
    resized = performance.now();
    if (pinned) toEnd();
    last = { top: root.scrollTop, height: root.scrollHeight };
    show();
  }).observe(content);

  const pin = () => {
    pinned = true;
    toEnd();
    show();
  };
  jump.addEventListener("click", () => {
    const last = [...content.querySelectorAll(".turn:not([hidden])")].at(-1);
    if (last && document.activeElement === jump) land(last);
    pin();
  });
  /** Something else than the end is to be seen. */
  const release = () => (pinned = false);
  return { pin, release };
}
