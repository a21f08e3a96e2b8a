// Folders at the side: a conversation lies in one or in none, and an empty folder is none.

import { UNREACHABLE, post, problem, store } from "./http.js";
import { offer } from "./toast.js";
import { phrase } from "./words.js";

/**
 * @param list the conversations that lie in no folder
 * @param rows {linkOf: (item), insert: (item, list) puts it behind those pinned}
 */
export function folders(list, rows, say) {
  const place = document.getElementById("folders");
  const side = document.getElementById("side");
  const menu = document.getElementById("folder-menu");
  const dialog = document.getElementById("folder-dialog");
  const form = dialog.querySelector("template").content.firstElementChild.cloneNode(true);
  const choices = form.querySelector('[data-role="choices"]');
  const { name } = form.elements;
  const trouble = form.querySelector(".error");
  const key = `folders:${document.getElementById("main").dataset.me}`;
  let then = null; // told the name in the dialog; @returns what gets the focus, or what went wrong
  let drawer = false; // a dialog closes the one that it was opened from
  let current = null; // the folder that the menu is open for

  const all = () => [...place.children];
  const nameOf = (folder) => folder.dataset.folder;
  const find = (words) => all().find((folder) => nameOf(folder) === words);
  const folderOf = (item) => item.closest(".folder");
  const listOf = (folder) => folder?.querySelector("ul") ?? list;
  const idOf = (item) => rows.linkOf(item).href.split("/").at(-1);

  all().forEach(dress);
  const opened = new Set(store.get(key, []));
  for (const folder of all()) if (opened.has(nameOf(folder))) folder.firstElementChild.open = true;

  function dress(folder) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "icon row-more";
    button.textContent = "⋯";
    button.setAttribute("aria-label", phrase("More for the folder “{name}”", { name: nameOf(folder) }));
    button.addEventListener("click", () => openMenu(folder, button));
    folder.append(button);
    folder.firstElementChild.addEventListener("toggle", () => {
      const filtered = document.getElementById("filter").value.trim(); // opens them for a while
      if (!filtered) store.set(key, all().filter((one) => one.firstElementChild.open).map(nameOf));
    });
  }

  function make(words) {
    const folder = document.createElement("div");
    folder.className = "folder";
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    const label = document.createElement("span");
    label.className = "folder-name";
    const count = document.createElement("span");
    count.className = "hint";
    summary.append(label, " ", count);
    const items = document.createElement("ul");
    details.append(summary, items);
    folder.append(details);
    call(folder, words);
    dress(folder);
    return folder;
  }

  function call(folder, words) {
    folder.dataset.folder = words;
    folder.querySelector(".folder-name").textContent = words;
    folder.querySelector("ul").setAttribute("aria-label", words);
    folder.querySelector(":scope > .row-more")?.setAttribute("aria-label", phrase("More for the folder “{name}”", { name: words }));
    const after = all().find((other) => other !== folder && nameOf(other).localeCompare(words) > 0);
    place.insertBefore(folder, after ?? null);
  }

  /** Puts rows where they belong, and counts. */
  function put(items, words) {
    const target = words === null ? null : (find(words) ?? make(words));
    for (const item of items) rows.insert(item, listOf(target));
    if (target) target.firstElementChild.open = true;
    count();
    for (const folder of all()) if (!folder.querySelector("li")) folder.remove();
  }

  function count() {
    for (const folder of all()) folder.querySelector(".hint").textContent = folder.querySelectorAll("li").length;
  }

  async function send(url, body) {
    try {
      const response = await post(url, body);
      return response.ok ? { response } : { failed: (await problem(response)).message };
    } catch {
      return { failed: UNREACHABLE };
    }
  }

  async function move(items, words) {
    const { failed } = await send(dialog.dataset.move, { conversations: items.map(idOf), folder: words });
    if (!failed) put(items, words);
    return failed ?? null;
  }

  // -- the dialog

  function ask(title, go, options, words, done) {
    dialog.querySelector("h2").textContent = title;
    form.querySelector(".primary").textContent = go;
    form.querySelector('[data-role="label"]').textContent = options ? phrase("New folder") : phrase("Name");
    choices.replaceChildren(choices.firstElementChild, ...(options ?? []));
    choices.hidden = !options;
    name.value = words;
    trouble.hidden = true;
    then = done;
    drawer = side.matches(":popover-open");
    dialog.append(form);
    dialog.showModal();
    (choices.querySelector("input:checked") ?? name).focus();
    if (!options) name.select();
  }

  function choice(words, label, checked) {
    const el = document.createElement("label");
    el.className = "choice";
    const input = document.createElement("input");
    input.type = "radio";
    input.name = "folder";
    input.value = words;
    input.checked = checked;
    el.append(input, ` ${label}`);
    return el;
  }

  name.addEventListener("input", () => {
    // Who writes a name wants that one.
    const old = choices.querySelector("input:checked");
    if (old && name.value.trim()) old.checked = false;
  });
  choices.addEventListener("change", () => (name.value = ""));
  form.querySelector('[data-action="cancel"]').addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    form.remove();
    reopen();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = choices.hidden ? null : choices.querySelector("input:checked");
    const words = name.value.trim().replace(/\s+/g, " ");
    if (!chosen && !words) return name.focus();
    const done = await then(chosen ? chosen.value || null : words);
    const failed = typeof done === "string";
    trouble.hidden = !failed;
    trouble.textContent = failed ? done : "";
    if (failed) return;
    dialog.close();
    reopen();
    done.focus();
  });

  function reopen() {
    if (drawer) side.showPopover();
    drawer = false;
  }

  // -- the menu of a folder

  function openMenu(folder, button) {
    current = folder;
    menu.showPopover({ source: button });
    const at = button.getBoundingClientRect();
    menu.style.top = `${Math.min(at.bottom, innerHeight - menu.offsetHeight - 8)}px`;
    menu.style.left = `${Math.max(4, Math.min(at.left, innerWidth - menu.offsetWidth - 8))}px`;
    menu.querySelector("button").focus();
  }

  menu.addEventListener("click", (event) => {
    const action = event.target.closest("[data-action]")?.dataset.action;
    menu.hidePopover();
    if (action === "rename") rename(current);
    if (action === "delete") discard(current);
  });

  function rename(folder) {
    const before = nameOf(folder);
    ask(phrase("Rename folder"), phrase("Rename"), null, before, async (words) => {
      if (words === before) return folder.querySelector(".row-more:not(li > *)");
      const { failed } = await send(dialog.dataset.rename, { folder: before, name: words });
      if (failed) return failed;
      const other = find(words);
      if (other) put([...folder.querySelectorAll("li")], words);
      else call(folder, words);
      say(phrase("Renamed."));
      return (other ?? folder).querySelector(".row-more:not(li > *)");
    });
  }

  async function discard(folder) {
    const words = nameOf(folder);
    const { failed, response } = await send(dialog.dataset.delete, { folder: words });
    if (failed) return say(failed);
    const { conversations } = await response.json();
    const items = [...folder.querySelectorAll("li")];
    put(items, null);
    offer(phrase("The folder is deleted; its conversations are kept."), async () => {
      const back = await send(dialog.dataset.move, { conversations, folder: words });
      if (back.failed) return say(back.failed);
      put(items.filter((item) => item.isConnected), words);
      find(words)?.querySelector("summary").focus();
    });
  }

  return {
    count,
    /** Asks where a conversation shall lie. */
    choose(item) {
      const here = folderOf(item);
      const names = all().map(nameOf);
      const options = [choice("", phrase("No folder"), !here), ...names.map((words) => choice(words, words, here && words === nameOf(here)))];
      ask(phrase("Move to a folder"), phrase("Move"), names.length ? options : [], "", async (words) => {
        const failed = await move([item], words);
        if (failed) return failed;
        say(words === null ? phrase("It lies in no folder.") : phrase("Moved to “{name}”.", { name: words }));
        return rows.linkOf(item);
      });
    },
  };
}
