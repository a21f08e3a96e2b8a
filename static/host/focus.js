// Where the keyboard goes on when what had the focus goes away.

// Where a focus in a text box would bring up a keyboard over half the page.
export const touch = matchMedia("(hover: none) and (pointer: coarse)");

// What got the focus by script shows it to who uses keys, and to nobody else. A browser would show
// it on every page that has just been loaded, as after Connect in the same tab.
const keys = (yes) => document.documentElement.toggleAttribute("data-keys", yes);
addEventListener("keydown", () => keys(true), true);
addEventListener("pointerdown", () => keys(false), true);

/** Puts the focus on something that is no control; the next Tab goes on from there. */
export function land(el) {
  el.tabIndex = -1;
  el.focus({ preventScroll: true });
}

const used = () => navigator.userActivation?.hasBeenActive ?? true;

/** Whether the focus is in there, or has fallen to the page with something that went away. */
export const isIn = (el) => el.contains(document.activeElement) || (document.activeElement === document.body && used());
