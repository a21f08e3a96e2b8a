// The box one writes in: grows with its text, keeps drafts, sends by Enter, stops by Esc.

import { store } from "./http.js";

const touch = matchMedia("(hover: none) and (pointer: coarse)");

/** @param on {send: (text) => void, stop: () => void} */
export function composer(form, on) {
  const text = form.elements.text;
  const send = form.querySelector("#send");
  const stop = form.querySelector("#stop");
  let key = "draft:new";
  let running = false;
  let saving = 0;

  const grow = () => {
    if (CSS.supports("field-sizing", "content")) return; // the stylesheet does it
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight + 2}px`;
  };
  const save = () => {
    clearTimeout(saving);
    saving = 0;
    store.set(key, text.value);
  };

  text.addEventListener("input", () => {
    grow();
    clearTimeout(saving);
    saving = setTimeout(save, 300);
  });
  addEventListener("pagehide", () => saving && save());

  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && running) {
      event.preventDefault();
      on.stop();
    }
    // On a touch keyboard Enter is the only way to a new line.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !touch.matches) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (!words || running) return;
    save(); // stays in the store until the server has it
    text.value = "";
    grow();
    on.send(words);
  });
  stop.addEventListener("click", () => on.stop());

  return {
    /** Drafts belong to a conversation; a new one takes its draft along. */
    setConversation(id, keepDraft = false) {
      const draft = store.get(key, "");
      if (keepDraft) store.set(key, null);
      key = `draft:${id || "new"}`;
      if (keepDraft) store.set(key, draft);
      else if (!text.value) text.value = store.get(key, "");
      grow();
    },
    /** The server has the message: the draft has done its work, unless a new one is begun. */
    accepted() {
      store.set(key, text.value);
    },
    setRunning(now) {
      const focused = document.activeElement === send || document.activeElement === stop;
      running = now;
      send.hidden = now;
      stop.hidden = !now;
      stop.disabled = false;
      if (focused) text.focus();
    },
    stopping() {
      stop.disabled = true;
    },
    fill(words) {
      text.value = words;
      grow();
      save();
      text.focus();
    },
    focus: () => text.focus(),
  };
}
