// Asks our own server. Every answer has `ok`, `status`, `data` and a sentence in `message`.
import { phrase } from "./words.js";

// A host's own page with a card in it may have no meta tag; the card's forms hold the token too.
const token = () =>
  document.querySelector("meta[name=csrf-token]")?.content ??
  document.querySelector("[data-provider] input[name=csrf_token]")?.value ??
  "";

export const post = (url, body) =>
  ask(url, { method: "POST", body, headers: { "X-CSRFToken": token() } });

export const get = (url) => ask(url, {});

async function ask(url, options) {
  try {
    const response = await fetch(url, {
      cache: "no-store",
      signal: AbortSignal.timeout?.(30_000),
      ...options,
      headers: { Accept: "application/json", ...options.headers },
    });
    const said = response.status === 204 ? {} : await response.json().catch(() => null);
    // One that was cut off on its way tells nothing, whatever its head says.
    const ok = response.ok && said !== null;
    const data = said ?? {};
    // A limiter of the host's own answers with a page.
    const message =
      data.message ??
      (response.status === 429
        ? phrase("That was too often in a short time. Wait a moment and try again.")
        : phrase("This page is too old. Reload it and try again."));
    return { ok, status: response.status, data, message };
  } catch {
    const message = phrase("This site cannot be reached right now. Nothing was changed; try again.");
    return { ok: false, status: 0, data: {}, message };
  }
}
