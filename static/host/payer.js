// Who pays for the next message: always in sight, never changed without saying so.

import { getJson } from "./http.js";

export function payerLine(el, url, say) {
  let now = { kind: el.dataset.kind, provider: el.dataset.provider, sentence: el.textContent };

  function paint(payer) {
    const changed = payer.sentence !== now.sentence && payer.kind !== now.kind;
    now = payer;
    el.textContent = payer.sentence;
    el.dataset.kind = payer.kind;
    el.dataset.provider = payer.provider ?? "";
    if (changed) say(payer.sentence);
  }

  return {
    get kind() {
      return now.kind;
    },
    /** Asks the server again; with a provider, who would pay if that one were asked. */
    async refresh(provider = "") {
      try {
        paint(await getJson(provider ? `${url}?provider=${encodeURIComponent(provider)}` : url));
      } catch {
        /* the line keeps what it last knew */
      }
      return now;
    },
  };
}
