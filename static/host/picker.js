// The list of models: found by typing, walked by arrows, priced, and honest about its age.

import { getJson, store } from "./http.js";

const RECENTS = 3;
const keyOf = (provider, id) => `${provider}/${id}`;

/** @param onPick told {provider, label, model, name} */
export function picker(url, onPick) {
  const dialog = document.getElementById("models");
  const search = document.getElementById("models-search");
  const list = document.getElementById("models-list");
  const note = document.getElementById("models-note");
  let data = null;
  let rows = []; // {el, words} in the order on the page
  let current = {};

  async function open(choice, wish = {}) {
    current = choice;
    search.value = "";
    if (!data) note.textContent = "Loading the models…";
    else build();
    dialog.showModal();
    try {
      data = await getJson(url); // each time: the server keeps the list and knows its age
      build();
      filter();
    } catch (error) {
      note.textContent = error.message && error.code ? error.message
        : `The list could not be loaded.${data ? " This is the one from before." : " Please try again."}`;
    }
  }

  function build() {
    const favourites = new Set(store.get("favourites", []));
    const recents = store.get("recents", []);
    const all = [];
    for (const provider of data.providers) {
      for (const model of provider.models) all.push({ provider, model, key: keyOf(provider.name, model.id) });
    }
    const by = new Map(all.map((one) => [one.key, one]));
    const recent = recents.filter((key) => by.has(key) && !favourites.has(key)).slice(0, RECENTS);
    const top = new Set([...favourites, ...recent]);

    rows = [];
    const page = document.createDocumentFragment();
    page.append(...group("Favourites", "", all.filter((one) => favourites.has(one.key)), favourites));
    page.append(...group("Recent", "", recent.map((key) => by.get(key)), favourites));
    for (const provider of data.providers) {
      const rest = all.filter((one) => one.provider === provider && !top.has(one.key));
      page.append(...group(provider.label, age(provider), rest, favourites, provider.problem));
    }
    list.replaceChildren(page);
    note.textContent = all.length ? "" : "No models yet. Connect a provider first.";
  }

  function group(title, hint, members, favourites, problem) {
    if (!members.length && !problem) return [];
    const section = make("section", "models-group");
    const head = make("div", "models-head");
    head.append(make("h3", "", title), make("span", "hint", hint));
    section.append(head);
    if (problem) section.append(make("p", "hint", String(problem)));
    for (const one of members) {
      const row = makeRow(one, favourites);
      rows.push({ el: row, section, words: `${one.model.name} ${one.model.id} ${one.provider.label}`.toLowerCase() });
      section.append(row);
    }
    return [section];
  }

  function makeRow({ provider, model, key }, favourites) {
    const row = make("div", "model");
    const pick = make("button", "model-pick");
    pick.type = "button";
    pick.dataset.provider = provider.name;
    pick.dataset.model = model.id;
    pick.append(
      make("span", "model-name", model.name || model.id),
      make("span", "model-id", model.id),
      facts(model),
    );
    if (model.id === current.model && provider.name === current.provider) pick.setAttribute("aria-current", "true");
    pick.addEventListener("click", () => choose(provider, model, key));
    const star = make("button", "star");
    star.type = "button";
    star.tabIndex = -1; // reached by the right arrow; Tab would stop at every row twice
    paintStar(star, favourites.has(key), model);
    star.addEventListener("click", () => {
      const now = new Set(store.get("favourites", []));
      if (!now.delete(key)) now.add(key);
      store.set("favourites", [...now]);
      paintStar(star, now.has(key), model); // it moves to its group when the list is next opened
    });
    row.append(pick, star);
    return row;
  }

  function choose(provider, model, key) {
    const recents = store.get("recents", []).filter((other) => other !== key);
    store.set("recents", [key, ...recents].slice(0, 10));
    dialog.close();
    onPick({ provider: provider.name, label: provider.label, model: model.id, name: model.name });
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const alive = new Set();
    for (const row of rows) {
      row.el.hidden = !words.every((word) => row.words.includes(word));
      if (!row.el.hidden) alive.add(row.section);
    }
    for (const section of list.children) section.hidden = words.length > 0 && !alive.has(section);
    if (words.length) note.textContent = alive.size ? "" : "No model has these words in its name.";
    else if (rows.length) note.textContent = "";
    list.scrollTop = 0;
  }

  search.addEventListener("input", filter);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest('[data-action="close"]')) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    const picks = rows.filter((row) => !row.el.hidden).map((row) => row.el.firstChild);
    const row = event.target.closest?.(".model");
    const at = row ? picks.indexOf(row.firstChild) : -1;
    if (event.key === "ArrowDown") move(event, picks[Math.min(at + 1, picks.length - 1)]);
    else if (event.key === "ArrowUp") move(event, at > 0 ? picks[at - 1] : search);
    else if (event.key === "ArrowRight" && row) move(event, row.lastChild);
    else if (event.key === "ArrowLeft" && row) move(event, row.firstChild);
    else if (event.key === "Escape") {
      event.preventDefault(); // a search field would only empty itself
      dialog.close();
    } else if (event.key === "Enter" && event.target === search) {
      event.preventDefault();
      picks[0]?.click();
    } else if (row && event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey) {
      search.focus(); // typing goes on searching, wherever the focus is
    }
  });

  return { open };
}

function move(event, to) {
  event.preventDefault();
  to?.focus();
}

function paintStar(star, on, model) {
  star.textContent = on ? "★" : "☆";
  star.setAttribute("aria-pressed", String(on));
  star.setAttribute("aria-label", `Favourite: ${model.name || model.id}`);
}

function facts(model) {
  const rest = [];
  if (model.context) rest.push(`${tokens(model.context)} context`);
  if (model.inputs?.includes("image")) rest.push("reads images");
  const el = make("span", "model-facts");
  for (const part of [cost(model), rest.join(" · ")]) if (part) el.append(make("span", "", part));
  return el;
}

function cost(model) {
  if (model.varies) return "price varies";
  if (model.free) return "free";
  if (model.prompt_price == null || model.completion_price == null) return "";
  return `${price(model.prompt_price)} in, ${price(model.completion_price)} out`;
}

/** USD for a million tokens, with the cents that matter. */
function price(value) {
  const usd = Number(value);
  return `$${usd >= 0.1 || usd === 0 ? usd.toFixed(2) : String(Number(usd.toPrecision(2)))}`;
}

function tokens(n) {
  if (n >= 1e6) return `${Number((n / 1e6).toFixed(1))}M`;
  return n >= 1000 ? `${Math.round(n / 1000)}k` : String(n);
}

function age(provider) {
  if (!provider.fetched_at) return "";
  const stamp = provider.fetched_at;
  const at = new Date(typeof stamp === "number" ? stamp * 1000 : stamp);
  if (provider.stale || provider.problem) {
    return `Could not refresh; showing the list of ${at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}`;
  }
  const minutes = Math.round((Date.now() - at) / 60000);
  if (minutes < 1) return "Updated just now";
  if (minutes < 90) return `Updated ${minutes} min ago`;
  return minutes < 2880 ? `Updated ${Math.round(minutes / 60)} h ago` : `Updated ${Math.round(minutes / 1440)} days ago`;
}

function make(tag, className, text = "") {
  const el = document.createElement(tag);
  if (className) el.className = className;
  if (text) el.textContent = text;
  return el;
}
