// The menu of all that could pay for the next message. One click switches; nothing else does.

import { getJson } from "./http.js";
import { phrase } from "./words.js";

/** @param choose told {provider, label, model} */
export function payerMenu(button, menu, url, now, choose) {
  const list = menu.querySelector('[data-role="options"]');

  button.addEventListener("click", async () => {
    if (menu.matches(":popover-open")) return menu.hidePopover();
    list.replaceChildren(line(phrase("Looking…")));
    menu.showPopover();
    place();
    try {
      const query = now.base() ? `?conversation=${now.base().split("/").at(-1)}` : "";
      const { options } = await getJson(`${url}${query}`);
      list.replaceChildren(...(options.length ? options.map(entry) : [line(phrase("Nothing is connected yet."))]));
    } catch {
      list.replaceChildren(line(phrase("The list could not be loaded.")));
    }
    place();
    menu.querySelector('[aria-checked="true"], .entry')?.focus();
  });
  menu.addEventListener("toggle", (event) => button.setAttribute("aria-expanded", String(event.newState === "open")));
  menu.addEventListener("keydown", (event) => {
    const entries = [...menu.querySelectorAll(".entry:not(:disabled)")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    entries[(entries.indexOf(document.activeElement) + step + entries.length) % entries.length].focus();
  });

  function place() {
    const at = button.getBoundingClientRect();
    menu.style.top = `${Math.max(4, at.top - menu.offsetHeight - 4)}px`;
    menu.style.left = `${Math.max(4, Math.min(at.right - menu.offsetWidth, innerWidth - menu.offsetWidth - 4))}px`;
  }

  function entry(option) {
    const el = document.createElement("button");
    el.type = "button";
    el.className = "entry payer-entry";
    el.setAttribute("role", "radio");
    el.setAttribute("aria-checked", String(option.provider === now.provider()));
    el.disabled = option.kind === "none";
    el.append(part("span", option.sentence), part("span", option.model ?? "", "hint"));
    el.addEventListener("click", () => {
      menu.hidePopover();
      choose(option);
    });
    return el;
  }
}

const line = (words) => part("p", words, "hint");

function part(tag, words, className = "") {
  const el = document.createElement(tag);
  el.textContent = words;
  if (className) el.className = className;
  return el;
}
