// Keys for those who like them. Single keys only while nothing is being typed, and they can be
// switched off: somebody who speaks to a computer types by accident.

import { store } from "./http.js";

const $ = (id) => document.getElementById(id);
const sheet = $("shortcuts");
const { home, search, settings, usage } = sheet.dataset;
const single = sheet.querySelector('input[name="single"]');

const KEYS = {
  "?": open,
  n: () => location.assign(home),
  "/": find,
  w: () => $("text")?.focus(),
  m: () => $("pick")?.click(),
  ".": stop,
  Escape: stop,
  j: () => step(1),
  k: () => step(-1),
  s: () => location.assign(settings),
  u: () => location.assign(usage),
};

single.checked = store.get("single-keys", true);
single.addEventListener("change", () => store.set("single-keys", single.checked));
document.querySelectorAll('[data-action="shortcuts"]').forEach((button) => button.addEventListener("click", open));
sheet.addEventListener("click", (event) => event.target === sheet && sheet.close()); // beside it

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.repeat) return;
  // Works while typing as well; no browser wants it for itself.
  if (event.key === "/" && event.ctrlKey && !event.altKey && !event.metaKey) return run(event, open);
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (isTyping(event.target) || document.querySelector("dialog[open], .menu:popover-open, #side:popover-open")) return;
  if (event.key !== "Escape" && !single.checked) return;
  const action = Object.hasOwn(KEYS, event.key) && KEYS[event.key];
  if (action) run(event, action);
});

function run(event, action) {
  // Esc has other meanings; it is taken only where it stopped something.
  if (action() !== false) event.preventDefault();
}

function isTyping(el) {
  return Boolean(el.closest?.("textarea, select, [contenteditable], input:not([type=checkbox], [type=radio], [type=file])"));
}

function open() {
  if (document.querySelector("dialog[open]")) return;
  sheet.showModal();
}

function find() {
  const input = $("filter");
  if (!input) return location.assign(search);
  const side = $("side");
  if (getComputedStyle(side).display === "none") side.showPopover();
  input.focus();
  input.select();
}

function stop() {
  const button = $("stop");
  if (!button || button.hidden || button.disabled) return false;
  button.click();
}

/** The conversation below or above the one that is open. */
function step(by) {
  const links = [...document.querySelectorAll("#folders details[open] li > a, #conversations a")];
  if (!links.length) return;
  const at = links.findIndex((link) => link.getAttribute("aria-current"));
  links[at < 0 ? 0 : at + by]?.click();
}
