// What stands beside a message: the small switch between versions, and the box that edits one.

import { touch } from "./focus.js";
import { phrase } from "./words.js";

export const versionsOf = (el) => el.querySelector(".switch").dataset.versions.split(" ").filter(Boolean);

/** Gives a message of the page its id, and its switch what stands beside it. */
export function identify(el, base, id, before = []) {
  if (!id) return;
  el.id = `m-${id}`;
  el.dataset.id = id;
  const versions = before.includes(id) ? before : [...before, id];
  const form = el.querySelector(".switch");
  const at = versions.indexOf(id);
  form.action = `${base}/path`;
  form.dataset.versions = versions.join(" ");
  form.hidden = versions.length < 2;
  form.querySelector(".at").textContent = `${at + 1} / ${versions.length}`;
  [versions[at - 1], versions[at + 1]].forEach((other, n) => {
    const button = form.querySelectorAll("button")[n];
    button.value = other ?? "";
    button.disabled = !other;
  });
}

/** Turns a question into a box; @param send is told the new words; @param words begun with */
export function edit(question, send, words = null) {
  if (question.querySelector(".edit")) return;
  const shown = question.querySelector(".text");
  const meta = question.querySelector(".meta");
  const form = document.createElement("form");
  form.className = "edit";
  const text = document.createElement("textarea");
  text.value = words ?? shown.textContent;
  text.maxLength = 100000;
  text.rows = Math.min(12, text.value.split("\n").length + 1);
  text.setAttribute("aria-label", phrase("Edit your message"));
  const row = document.createElement("div");
  row.className = "edit-row";
  const note = document.createElement("span");
  note.className = "hint";
  note.textContent = phrase("The old one and its answers are kept beside it.");
  const cancel = button(phrase("Cancel"), "button");
  const save = button(phrase("Send"), "button primary");
  cancel.type = "button";
  row.append(note, cancel, save);
  form.append(text, row);

  const close = () => {
    form.remove();
    shown.hidden = meta.hidden = false;
    question.querySelector('[data-action="edit"]').focus();
  };
  cancel.addEventListener("click", close);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (!words && !question.querySelector(".file")) return text.focus();
    close();
    if (words !== shown.textContent.trim()) send(words);
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      close();
    }
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !touch.matches) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  shown.hidden = meta.hidden = true;
  shown.after(form);
  text.focus();
  text.setSelectionRange(text.value.length, text.value.length);
}

function button(label, className) {
  const el = document.createElement("button");
  el.className = className;
  el.textContent = label;
  return el;
}
