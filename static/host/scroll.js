// Follows a growing answer only while the reader is at its end, and says so otherwise.

import { land } from "./focus.js";

const NEAR = 80; // px from the end that still count as "at the end"

export function followEnd(content, jump) {
  const root = document.scrollingElement;
  const atEnd = () => root.scrollHeight - root.clientHeight - root.scrollTop < NEAR;
  let pinned = false; // until there is something to follow
  let height = 0;

  const toEnd = () => root.scrollTo({ top: root.scrollHeight, behavior: "instant" });
  const show = () => (jump.hidden = pinned || atEnd() || !content.querySelector(".turn"));

  addEventListener("scroll", () => {
    // Content that shrinks or grows also scrolls; only the reader's own scrolling unpins.
    if (root.scrollHeight === height) pinned = atEnd();
    height = root.scrollHeight;
    show();
  }, { passive: true });

  new ResizeObserver(() => {
    height = root.scrollHeight;
    if (pinned) toEnd();
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
