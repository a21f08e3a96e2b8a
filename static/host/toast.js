// One sentence with one way back, at the bottom of the page for some seconds.

import { land, touch } from "./focus.js";

const LASTS = 10_000;
const el = document.getElementById("toast");
const words = el?.querySelector('[data-role="words"]');
const button = el?.querySelector("button");
let timer = 0;
let left = 0;
let since = 0;
let undo = null;

/** @param sentence what was done; @param back undoes it */
export function offer(sentence, back) {
  undo = back;
  words.textContent = sentence;
  el.showPopover();
  left = LASTS;
  button.focus({ preventScroll: true });
  go();
}

function go() {
  clearTimeout(timer);
  since = Date.now();
  timer = setTimeout(close, left);
}

function wait() {
  clearTimeout(timer);
  left = Math.max(2000, left - (Date.now() - since));
}

function close() {
  clearTimeout(timer);
  undo = null;
  const had = el.contains(document.activeElement);
  if (el.matches(":popover-open")) el.hidePopover();
  if (had) touch.matches ? land(document.getElementById("main")) : document.getElementById("text")?.focus();
}

// Time stands still while the pointer rests on it.
el?.addEventListener("pointerenter", wait);
el?.addEventListener("pointerleave", () => undo && go());
el?.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  event.stopPropagation();
  close();
});
button?.addEventListener("click", () => {
  const back = undo;
  close();
  back?.();
});
