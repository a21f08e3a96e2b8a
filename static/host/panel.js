// The place to connect in the middle of a chat.

export function connectPanel(el) {
  /** What it is about stays in sight above it, in one piece, where both have room. */
  const reveal = () => {
    const turn = [...document.querySelectorAll("#turns > .turn:not([hidden])")].at(-1);
    const wanted = [turn, turn?.querySelector(".trouble:not([hidden])")].filter(Boolean);
    const room = document.querySelector(".composer-box").getBoundingClientRect().top;
    const button = el.querySelector('[data-action="connect"], [data-action="save-key"]') ?? el;
    const end = button.getBoundingClientRect().bottom;
    const fits = (one) => end - one.getBoundingClientRect().top + parseFloat(getComputedStyle(one).scrollMarginTop) <= room;
    (wanted.find(fits) ?? el).scrollIntoView({ block: "start", behavior: "instant" });
  };
  return {
    reveal,
    show(sentence, waiting) {
      el.hidden = false;
      el.querySelector("#connect-title").textContent = sentence;
      el.querySelector("#kept-hint").hidden = !waiting;
      reveal();
      el.focus({ preventScroll: true });
      lookAgain(el.querySelector("[data-provider]")?.dataset.provider);
    },
    /** @returns whether the focus stood in it */
    hide() {
      const had = el.contains(document.activeElement);
      el.hidden = true;
      return had;
    },
  };
}

/** The card may have been drawn before the key died: all cards of this browser ask again. */
function lookAgain(provider) {
  const channel = new BroadcastChannel("apiary-connection");
  channel.postMessage({ provider });
  channel.close();
}
