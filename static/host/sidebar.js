// The list of conversations: filter, rename in place, delete after a question.

import { post, problem } from "./http.js";

/** @param main the element that carries the URLs; @param say announces a sentence */
export function sidebar(main, say) {
  const list = document.getElementById("conversations");
  const filter = document.getElementById("filter");
  const menu = document.getElementById("row-menu");
  const dialog = document.getElementById("delete-dialog");
  const title = document.getElementById("title");
  let row = null; // the one the menu is open for

  list.querySelectorAll("li").forEach(addButton);
  filter.addEventListener("input", show);
  matchMedia("(min-width: 56rem)").addEventListener("change", () => {
    const side = document.getElementById("side");
    if (side.matches(":popover-open")) side.hidePopover(); // a drawer has no place on a wide page
  });

  function show() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let any = false;
    for (const item of list.children) {
      const name = linkOf(item).textContent.toLowerCase();
      item.hidden = !words.every((word) => name.includes(word));
      any ||= !item.hidden;
    }
    document.getElementById("no-match").hidden = any || !words.length;
  }

  function addButton(item) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "icon row-more";
    button.textContent = "⋯";
    button.setAttribute("aria-label", `More for “${linkOf(item).textContent}”`);
    button.addEventListener("click", () => openMenu(item, button));
    item.append(button);
  }

  function openMenu(item, button) {
    row = item;
    const base = linkOf(item).href;
    for (const link of menu.querySelectorAll("[data-export]")) {
      link.href = base + (link.dataset.export === "json" ? "/export.json" : "/export.md");
    }
    menu.showPopover();
    const at = button.getBoundingClientRect();
    const below = at.bottom + menu.offsetHeight < innerHeight;
    menu.style.top = `${below ? at.bottom : Math.max(4, at.top - menu.offsetHeight)}px`;
    menu.style.left = `${Math.max(4, Math.min(at.left, innerWidth - menu.offsetWidth - 8))}px`;
    menu.querySelector("button").focus();
  }

  menu.addEventListener("click", (event) => {
    const action = event.target.closest("[data-action]")?.dataset.action;
    menu.hidePopover();
    if (action === "rename") rename(row);
    if (action === "delete") ask(row);
  });

  function rename(item) {
    const link = linkOf(item);
    const input = document.createElement("input");
    input.value = link.textContent;
    input.maxLength = 200;
    input.setAttribute("aria-label", "Title");
    link.hidden = true;
    link.after(input);
    input.select();
    let over = false;
    const finish = async (keep) => {
      if (over) return;
      over = true;
      const words = input.value.trim();
      const had = document.activeElement === input;
      input.remove();
      link.hidden = false;
      if (had) link.focus();
      if (!keep || !words || words === link.textContent) return;
      const before = link.textContent;
      setTitle(link.href, words);
      const response = await post(`${link.href}/rename`, { title: words }).catch(() => null);
      if (response?.ok) return say("Renamed.");
      setTitle(link.href, before);
      say(response ? (await problem(response)).message : "The server could not be reached.");
    };
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") finish(true);
      if (event.key === "Escape") {
        event.stopPropagation();
        event.preventDefault();
        finish(false);
      }
    });
    input.addEventListener("blur", () => finish(true));
  }

  function ask(item) {
    row = item;
    dialog.querySelector('[data-role="title"]').textContent = linkOf(item).textContent;
    dialog.showModal();
  }

  dialog.addEventListener("click", async (event) => {
    const action = event.target.closest("[data-action]")?.dataset.action;
    if (!action) return;
    dialog.close();
    if (action !== "really-delete") return;
    const link = linkOf(row);
    const response = await post(`${link.href}/delete`).catch(() => null);
    if (!response?.ok) return say("It could not be deleted. Please try again.");
    if (link.getAttribute("aria-current")) location.assign(main.dataset.home);
    row.remove();
    say("Deleted.");
  });

  document.getElementById("delete-form")?.addEventListener("submit", (event) => {
    const item = [...list.children].find((li) => linkOf(li).getAttribute("aria-current"));
    if (!item) return; // not in the list: the form does it, without a question
    event.preventDefault();
    document.getElementById("more").open = false;
    ask(item);
  });

  function setTitle(base, words) {
    const link = [...list.querySelectorAll("a")].find((a) => a.href === base);
    if (!link) return;
    link.textContent = words;
    link.parentElement.querySelector(".row-more")?.setAttribute("aria-label", `More for “${words}”`);
    if (link.getAttribute("aria-current")) {
      title.textContent = words;
      document.title = `${words} – ${main.dataset.site}`;
    }
  }

  return {
    add(base, words) {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = base;
      link.textContent = words;
      link.setAttribute("aria-current", "page");
      item.append(link);
      addButton(item);
      list.prepend(item);
      title.textContent = words;
      document.title = `${words} – ${main.dataset.site}`;
      filter.closest("label").hidden = list.children.length < 2;
    },
  };
}

const linkOf = (item) => item.querySelector("a");
