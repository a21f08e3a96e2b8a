// The place to connect in the middle of a chat.

export function connectPanel(el) {
  return {
    show(sentence, waiting) {
      el.hidden = false;
      el.querySelector("#connect-title").textContent = sentence;
      el.querySelector("#kept-hint").hidden = !waiting;
      el.scrollIntoView({ block: "start" });
      el.focus({ preventScroll: true });
      lookAgain(el.querySelector("[data-provider]")?.dataset.provider);
    },
    hide() {
      el.hidden = true;
    },
  };
}

/** The card may have been drawn before the key died: all cards of this browser ask again. */
function lookAgain(provider) {
  const channel = new BroadcastChannel("apiary-connection");
  channel.postMessage({ provider });
  channel.close();
}
