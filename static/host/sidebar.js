// The list of conversations: pin, rename in place, delete with a way back.

import { folders } from "./folders.js";
import { UNREACHABLE, getJson, post, problem } from "./http.js";
import { offer } from "./toast.js";
import { phrase } from "./words.js";

/** @param main the element that carries the URLs; @param say announces a sentence */
export function sidebar(main, say) {
  const list = document.getElementById("conversations");
  const menu = document.getElementById("row-menu");
  const title = document.getElementById("title");
  let row = null; // the one the menu is open for

  const shelf = list.parentElement; // with the folders
  const shelved = folders(list, { linkOf, insert: afterPinned }, say);
  shelf.querySelectorAll("#folders li, #conversations li").forEach(addButton);
  matchMedia("(min-width: 56rem)").addEventListener("change", () => {
    const side = document.getElementById("side");
    if (side.matches(":popover-open")) side.hidePopover(); // a drawer has no place on a wide page
  });

  function addButton(item) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "icon row-more";
    button.textContent = "⋯";
    button.setAttribute("aria-label", phrase("More for “{title}”", { title: linkOf(item).textContent }));
    button.addEventListener("click", () => openMenu(item, button));
    item.append(button);
  }

  const older = document.getElementById("older");
  older.addEventListener("click", async () => {
    const known = new Set([...list.querySelectorAll("a")].map((link) => link.href));
    let found;
    try {
      found = await getJson(`${older.dataset.url}?after=${known.size}`);
    } catch {
      return say(phrase("The list could not be loaded. Please try again."));
    }
    const items = found.conversations
      .map(({ url, title, pinned }) => newItem(new URL(url, location.href).href, title, pinned))
      .filter((item) => !known.has(linkOf(item).href));
    list.append(...items);
    document.dispatchEvent(new Event("apiary:listed"));
    if (items.length && document.activeElement === older) linkOf(items[0]).focus();
    older.hidden = !found.more;
  });

  function newItem(base, words, pinned = false) {
    const item = document.createElement("li");
    item.toggleAttribute("data-pinned", pinned);
    const link = document.createElement("a");
    link.href = base;
    link.dir = "auto";
    link.textContent = words;
    item.append(link);
    addButton(item);
    return item;
  }

  function openMenu(item, button) {
    row = item;
    const base = linkOf(item).href;
    for (const link of menu.querySelectorAll("[data-export]")) {
      link.href = base + (link.dataset.export === "json" ? "/export.json" : "/export.md");
    }
    menu.querySelector('[data-action="pin"]').textContent = "pinned" in item.dataset ? phrase("Unpin") : phrase("Pin");
    menu.showPopover({ source: button }); // or the drawer would close below it
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
    if (action === "move") shelved.choose(row);
    if (action === "pin") pin(row);
    if (action === "delete") discard(row);
  });

  async function pin(item) {
    const link = linkOf(item);
    const pinned = !("pinned" in item.dataset);
    const response = await post(`${link.href}/${pinned ? "pin" : "unpin"}`).catch(() => null);
    if (!response?.ok) return say(phrase("It could not be changed. Please try again."));
    item.toggleAttribute("data-pinned", pinned);
    item.querySelector(".sr")?.remove();
    if (pinned) {
      const mark = document.createElement("span");
      mark.className = "sr";
      mark.textContent = phrase("(pinned)");
      link.after(mark);
      item.parentElement.prepend(item);
    } else {
      // Where it stood by its age is known to the server; it stays near until the next visit.
      afterPinned(item);
    }
    item.querySelector(".row-more").focus();
    say(pinned ? phrase("Pinned.") : phrase("No longer pinned."));
  }

  function afterPinned(item, place = item.parentElement ?? list) {
    const pinned = [...place.children].filter((other) => other !== item && "pinned" in other.dataset);
    if (pinned.length && !("pinned" in item.dataset)) pinned.at(-1).after(item);
    else place.prepend(item);
  }

  function rename(item) {
    const link = linkOf(item);
    const input = document.createElement("input");
    input.value = link.textContent;
    input.maxLength = 200;
    input.setAttribute("aria-label", phrase("Title"));
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
      if (response?.ok) return say(phrase("Renamed."));
      setTitle(link.href, before);
      say(response ? (await problem(response)).message : UNREACHABLE);
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

  async function discard(item) {
    const link = linkOf(item);
    const response = await post(`${link.href}/delete`).catch(() => null);
    if (!response?.ok) return say(phrase("It could not be deleted. Please try again."));
    if (link.getAttribute("aria-current")) {
      // The page goes; the next one offers the way back.
      sessionStorage.setItem("apiary:deleted", link.href);
      return location.assign(main.dataset.home);
    }
    const next = item.nextElementSibling;
    const place = item.parentElement;
    item.remove();
    shelved.count();
    say(phrase("Deleted."));
    offer(phrase("Deleted."), async () => {
      if (!(await restore(link.href))) return;
      if (next?.isConnected) next.before(item);
      else (place.isConnected ? place : list).append(item);
      shelved.count();
      linkOf(item).focus();
    });
  }

  async function restore(base) {
    const response = await post(`${base}/restore`).catch(() => null);
    say(response?.ok ? phrase("It is back.") : phrase("It could not be brought back."));
    return Boolean(response?.ok);
  }

  const deleted = sessionStorage.getItem("apiary:deleted");
  if (deleted) {
    sessionStorage.removeItem("apiary:deleted");
    say(phrase("Deleted."));
    offer(phrase("Deleted."), async () => (await restore(deleted)) && location.assign(deleted));
  }

  document.getElementById("delete-form")?.addEventListener("submit", (event) => {
    const item = shelf.querySelector('li > a[aria-current="page"]')?.parentElement;
    if (!item) return; // not in the list: the form does it, and the next page offers the way back
    event.preventDefault();
    document.getElementById("more").open = false;
    discard(item);
  });

  function setTitle(base, words) {
    const link = [...shelf.querySelectorAll("li > a:first-child")].find((a) => a.href === base && !a.closest("#hits"));
    if (!link) return;
    link.textContent = words;
    link.parentElement.querySelector(".row-more")?.setAttribute("aria-label", phrase("More for “{title}”", { title: words }));
    if (link.getAttribute("aria-current")) {
      title.textContent = words;
      document.title = `${words} – ${main.dataset.site}`;
    }
  }

  return {
    add(base, words) {
      const item = newItem(base, words);
      linkOf(item).setAttribute("aria-current", "page");
      afterPinned(item);
      title.textContent = words;
      document.title = `${words} – ${main.dataset.site}`;
    },
  };
}

const linkOf = (item) => item.querySelector("a");
