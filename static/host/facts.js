// What a list tells of a model, in few words: price, context, inputs, age.

import { moment } from "./times.js";
import { dollars, phrase } from "./words.js";

export function facts(model) {
  const rest = [];
  if (model.context) rest.push(phrase("{size} context", { size: tokens(model.context) }));
  if (model.inputs?.includes("image")) rest.push(phrase("reads images"));
  const el = document.createElement("span");
  el.className = "model-facts";
  for (const words of [cost(model), rest.join(" · ")]) {
    if (!words) continue;
    const part = document.createElement("span");
    part.textContent = words;
    el.append(part);
  }
  return el;
}

export function cost(model) {
  if (model.varies) return phrase("price varies");
  if (model.free) return phrase("free");
  if (model.prompt_price == null || model.completion_price == null) return "";
  return phrase("{read} in, {written} out", {
    read: price(model.prompt_price),
    written: price(model.completion_price),
  });
}

/** USD for a million tokens, with the cents that matter. */
export function price(value) {
  const usd = Number(value);
  return dollars(usd >= 0.1 || usd === 0 ? usd.toFixed(2) : String(Number(usd.toPrecision(2))));
}

function tokens(n) {
  if (n >= 1e6) return `${Number((n / 1e6).toFixed(1))}M`;
  return n >= 1000 ? `${Math.round(n / 1000)}k` : String(n);
}

export function age(provider) {
  if (!provider.fetched_at) return "";
  const stamp = provider.fetched_at;
  const at = new Date(typeof stamp === "number" ? stamp * 1000 : stamp);
  if (provider.stale || provider.problem) {
    return phrase("Could not refresh; showing the list of {time}", { time: moment(at) });
  }
  const minutes = Math.round((Date.now() - at) / 60000);
  if (minutes < 1) return phrase("Updated just now");
  if (minutes < 90) return phrase("Updated {count} min ago", { count: minutes });
  if (minutes < 2880) return phrase("Updated {count} h ago", { count: Math.round(minutes / 60) });
  return phrase("Updated {count} days ago", { count: Math.round(minutes / 1440) });
}
