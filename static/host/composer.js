// The box one writes in: grows with its text, keeps drafts, sends by Enter, stops by Esc.

import { touch } from "./focus.js";
import { newId, store } from "./http.js";
import { forget as unstrand, strand } from "./stranded.js";

/** @param on {send: (text, {id, files}) => void, stop: () => void, files: the attachments} */
export function composer(form, on) {
  const { files } = on;
  const text = form.elements.text;
  const send = form.querySelector("#send");
  const stop = form.querySelector("#stop");
  // Drafts are their writer's: whoever uses this browser next does not find them.
  const writer = document.getElementById("main").dataset.me;
  let key = `draft:${writer}:new`;
  let base = "";
  let running = false;
  let saving = 0;
  let held = false; // Stop had the focus when it was switched off

  text.required = false; // a file says enough

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

  /** The same words sent again, even after a reload, are the same message. */
  const idFor = (words, sent) => {
    const before = store.get(`sent:${key}`);
    const names = sent.map((file) => file.id).join(" ");
    const id = before?.text === words && before.names === names ? before.id : newId();
    store.set(`sent:${key}`, { id, text: words, names });
    return id;
  };
  /** The server has what was sent, but the page did not live to hear it. */
  const arrived = (draft) => {
    const sent = store.get(`sent:${key}`);
    return sent && sent.text === draft.trim() && document.getElementById(`m-${sent.id}`);
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
    if (!(words || files.some) || running || files.loading) return;
    save(); // stays in the store until the server has it
    text.value = "";
    grow();
    const sent = files.take();
    on.send(words, { id: idFor(words, sent), files: sent });
  });
  stop.addEventListener("click", () => on.stop());

  return {
    /** Drafts belong to a conversation; a new one takes its draft along. */
    setConversation(id, keepDraft = false) {
      const draft = store.get(key, "");
      const sent = store.get(`sent:${key}`);
      if (keepDraft) this.forget(false);
      files.setConversation(id, keepDraft);
      base = id;
      key = `draft:${writer}:${id || "new"}`;
      if (keepDraft) {
        store.set(key, draft);
        store.set(`sent:${key}`, sent);
      } else if (arrived(store.get(key, ""))) this.forget();
      else if (!text.value) text.value = store.get(key, "");
      grow();
    },
    /** The server has the message: the draft has done its work, unless a new one is begun. */
    accepted() {
      unstrand(writer);
      files.accepted();
      store.set(key, text.value);
      store.set(`sent:${key}`, null);
    },
    forget(sent = true) {
      if (sent) {
        files.take();
        files.accepted();
      }
      store.set(key, null);
      store.set(`sent:${key}`, null);
    },
    setRunning(now) {
      const had = held || document.activeElement === send || document.activeElement === stop;
      held = false;
      running = now;
      send.hidden = now;
      stop.hidden = !now;
      stop.disabled = false;
      if (had) (touch.matches ? (now ? stop : send) : text).focus();
    },
    stopping() {
      held = document.activeElement === stop;
      stop.disabled = true;
      if (held && !touch.matches) text.focus();
    },
    /** What was sent was refused as it is: it stands in the box again, to be changed. */
    takeBack(words, back) {
      files.put(back);
      this.fill([words, text.value.trim()].filter(Boolean).join("\n\n"));
    },
    /** This conversation holds nothing yet; whoever leaves it finds the words in a new chat. */
    strand: (instructions) => strand(writer, base, instructions),
    fill(words) {
      text.value = words;
      grow();
      save();
      text.focus();
    },
    focus: () => text.focus(),
  };
}
