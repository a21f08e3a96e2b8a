// The dialog for what the model is told first, and the mark that says that there is something.

import { touch } from "./focus.js";
import { OFFLINE, post, problem, store } from "./http.js";
import { phrase } from "./words.js";

/** @param chat () => the talk, for its address; @param say announces a sentence */
export function instructions(chat, say) {
  const dialog = document.getElementById("instructions");
  const opener = document.getElementById("instructions-open");
  const form = dialog.querySelector("template").content.firstElementChild.cloneNode(true);
  const { own, default: usual, use } = form.elements;
  const trouble = form.querySelector(".error");
  const unsaved = form.querySelector('[data-role="unsaved"]');
  let kept = read(); // as the server has it, or will have it with the first message

  // What was written for a conversation that has not begun waits for its first message.
  const early = chat().base ? null : store.get("instructions:new");
  if (early !== null) kept = { ...kept, own: early };
  mark();

  // What was typed and not saved, for whom and where it was typed.
  const draftOf = () => `instructions-draft:${document.getElementById("main").dataset.me}:${chat().base || "new"}`;

  function read() {
    return { own: use.value === "own" ? own.value : null, usual: usual.value };
  }

  function write(values) {
    use.value = values.own === null ? "default" : "own";
    own.value = values.own ?? "";
    usual.value = values.usual;
    own.hidden = use.value !== "own";
  }

  function mark() {
    const set = Boolean((kept.own ?? kept.usual).trim());
    opener.toggleAttribute("data-set", set);
    opener.setAttribute("aria-label", set ? phrase("Instructions, set") : phrase("Instructions"));
  }

  const changed = () => Object.entries(read()).some(([name, value]) => value !== kept[name]);
  const keepDraft = () => store.set(draftOf(), changed() ? read() : null);

  opener.addEventListener("click", () => {
    const draft = store.get(draftOf());
    write(draft ?? kept);
    unsaved.hidden = !(draft && changed());
    trouble.hidden = true;
    dialog.append(form);
    dialog.showModal();
    if (!touch.matches) (own.hidden ? usual : own).focus();
  });
  dialog.addEventListener("input", keepDraft);
  dialog.addEventListener("change", (event) => {
    if (event.target.name !== "use") return;
    own.hidden = use.value !== "own";
    if (!own.hidden) own.focus();
    keepDraft();
  });
  // Esc closes; Cancel is the word for throwing away.
  dialog.addEventListener("cancel", () => changed() && say(phrase("Not saved. What you typed is kept here until you open it again.")));
  dialog.addEventListener("close", () => form.remove());
  form.querySelector('[data-action="cancel"]').addEventListener("click", () => {
    store.set(draftOf(), null);
    dialog.close();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const now = read();
    let failed = null;
    if (now.usual !== kept.usual) failed = await save(dialog.dataset.url, now.usual);
    if (!failed && chat().base) {
      if (now.own !== kept.own) failed = await save(`${chat().base}/instructions`, now.own);
    } else if (!failed) store.set("instructions:new", now.own);
    trouble.hidden = !failed;
    trouble.textContent = failed ?? "";
    if (failed) return;
    kept = now;
    store.set(draftOf(), null);
    mark();
    dialog.close();
    say(phrase("Instructions saved. They hold from the next message."));
  });

  return {
    /** What is set for this conversation alone, null without. */
    own: () => kept.own,
    /** The conversation has begun: it gets what was written for it. @returns whether all is well */
    async begun(base) {
      const text = store.get("instructions:new");
      if (text === null) return true;
      const failed = await save(`${base}/instructions`, text);
      if (!failed) store.set("instructions:new", null);
      return !failed;
    },
  };
}

/** @returns null, or a sentence on what went wrong */
async function save(url, text) {
  try {
    const response = await post(url, { text });
    return response.ok ? null : (await problem(response)).message;
  } catch {
    return OFFLINE.message.split(".")[0] + ".";
  }
}
