// What changed in a list of models since the last visit: new, gone, dearer. The list as it was
// seen is kept in this browser, small; news stay marked for a day.

import { price } from "./facts.js";
import { store } from "./http.js";
import { phrase } from "./words.js";

const DAY = 24 * 3600 * 1000;
const pay = (model) => (model.varies || model.prompt_price == null ? null : [model.prompt_price, model.completion_price ?? 0]);

/** @returns {{marks: Map<string, string>, gone: string[], since: Date|null}} by model id */
export function news(me, provider, now = Date.now()) {
  const key = `seen:${me}:${provider.name}`;
  const kept = store.get(key, null);
  // A list that could not be loaded says nothing about what is gone.
  if (!provider.models.length || provider.problem) return tell(kept, now);
  const seen = Object.fromEntries(provider.models.map((model) => [model.id, pay(model)]));
  const fresh = { at: now, seen, news: kept?.news ?? null };
  if (kept?.seen) {
    const found = compare(kept.seen, seen);
    if (Object.keys(found.marks).length || found.gone.length) {
      const old = kept.news && now - kept.news.at < DAY ? kept.news : { marks: {}, gone: [], since: kept.at };
      fresh.news = {
        at: now,
        since: old.since,
        marks: { ...old.marks, ...found.marks },
        gone: [...new Set([...old.gone, ...found.gone])].filter((id) => !(id in seen)),
      };
    }
  }
  store.set(key, fresh);
  return tell(fresh, now);
}

function compare(before, after) {
  const marks = {};
  for (const [id, prices] of Object.entries(after)) {
    const old = before[id];
    if (!(id in before)) marks[id] = phrase("new");
    else if (old && prices && (prices[0] > old[0] || prices[1] > old[1])) {
      marks[id] = phrase("dearer: was {read} in, {written} out", { read: price(old[0]), written: price(old[1]) });
    }
  }
  return { marks, gone: Object.keys(before).filter((id) => !(id in after)) };
}

function tell(kept, now) {
  const told = kept?.news && now - kept.news.at < DAY ? kept.news : { marks: {}, gone: [], since: null };
  return { marks: new Map(Object.entries(told.marks)), gone: told.gone, since: told.since && new Date(told.since) };
}

/** The model that stands nearest to one that is gone: same maker, same family. */
export function successor(id, models) {
  const maker = id.split("/")[0];
  const start = (other) => {
    let n = 0;
    while (n < id.length && id[n] === other[n]) n++;
    return n;
  };
  const family = id.slice(maker.length + 1).split(/[-.:]/)[0];
  const near = models.filter((model) => model.id !== id && model.id.startsWith(`${maker}/${family}`));
  return near.sort((a, b) => start(b.id) - start(a.id))[0] ?? null;
}
