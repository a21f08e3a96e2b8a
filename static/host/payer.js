// Who pays for the next message: always in sight, never changed without saying so.

import { getJson } from "./http.js";
import { phrase } from "./words.js";

export function payerLine(el, url, say) {
  let now = { kind: el.dataset.kind, provider: el.dataset.provider || null, sentence: el.textContent };

  function paint(payer) {
    const changed = payer.kind !== now.kind || payer.provider !== now.provider;
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
    /**
     * Asks the server again. A provider that was just picked is not known to the server before
     * the next message; then the line says what that message will do.
     */
    async refresh(base = "", chosen = null) {
      const query = new URLSearchParams();
      if (base) query.set("conversation", base.split("/").at(-1));
      if (chosen?.provider) query.set("provider", chosen.provider);
      try {
        let payer = await getJson(`${url}?${query}`);
        if (chosen?.label && payer.provider !== chosen.provider) {
          const sentence = chosen.provider === "built-in"
            ? phrase("{label} answers the next message", chosen)
            : phrase("{label} pays for the next message", chosen);
          payer = { kind: "chosen", provider: chosen.provider, sentence };
        }
        paint(payer);
      } catch {
        /* the line keeps what it last knew */
      }
      return now;
    },
  };
}
