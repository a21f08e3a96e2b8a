// What a list tells of a model, in few words: price, context, inputs, age.

import { moment } from "./times.js";

export function facts(model) {
  const rest = [];
  if (model.context) rest.push(`${tokens(model.context)} context`);
  if (model.inputs?.includes("image")) rest.push("reads images");
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
  if (model.varies) return "price varies";
  if (model.free) return "free";
  if (model.prompt_price == null || model.completion_price == null) return "";
  return `${price(model.prompt_price)} in, ${price(model.completion_price)} out`;
}

/** USD for a million tokens, with the cents that matter. */
export function price(value) {
  const usd = Number(value);
  return `$${usd >= 0.1 || usd === 0 ? usd.toFixed(2) : String(Number(usd.toPrecision(2)))}`;
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
    return `Could not refresh; showing the list of ${moment(at)}`;
  }
  const minutes = Math.round((Date.now() - at) / 60000);
  if (minutes < 1) return "Updated just now";
  if (minutes < 90) return `Updated ${minutes} min ago`;
  return minutes < 2880 ? `Updated ${Math.round(minutes / 60)} h ago` : `Updated ${Math.round(minutes / 1440)} days ago`;
}
