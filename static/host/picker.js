// The list of models: found by typing, walked by arrows, priced, and honest about its age.

import { age, facts } from "./facts.js";
import { getJson, store } from "./http.js";
import { news, successor } from "./news.js";
import { day } from "./times.js";
import { phrase } from "./words.js";

const RECENTS = 3;
const AT_ONCE = 24; // rows that fill the dialog
const A_FRAME = 60; // rows made in each frame behind it
const keyOf = (provider, id) => `${provider}/${id}`;

/** @param me whose lists these are; @param onPick told {provider, label, model, name} */
export function picker(url, me, onPick) {
  const dialog = document.getElementById("models");
  const search = document.getElementById("models-search");
  const list = document.getElementById("models-list");
  const note = document.getElementById("models-note");
  let data = null;
  let rows = []; // {el, words} in the order on the page
  let later = []; // makes the rows that are not there yet
  let shown = ""; // what the list was made of
  let current = {};
  const filters = [...dialog.querySelectorAll("[data-filter]")];
  const changed = new Map(); // provider: what is new, gone or dearer; once for each page

  async function open(choice, wish = {}) {
    const same = current.model === choice.model && current.provider === choice.provider;
    current = choice;
    search.value = "";
    for (const button of filters) button.setAttribute("aria-pressed", String(Boolean(wish[button.dataset.filter])));
    if (!data) note.textContent = phrase("Loading the models…");
    else {
      if (!same || shown !== looks()) build();
      filter();
    }
    dialog.showModal();
    try {
      await load();
      if (shown !== looks()) {
        build();
        filter();
      }
    } catch (error) {
      note.textContent = error.message && error.code ? error.message
        : data ? phrase("The list could not be loaded. This is the one from before.")
          : phrase("The list could not be loaded. Please try again.");
    }
  }

  async function load() {
    data = await getJson(url); // each time: the server keeps the list and knows its age
    for (const provider of data.providers) {
      if (!changed.get(provider.name)?.marks.size) changed.set(provider.name, news(me, provider));
    }
  }

  /** All that the list is made of, but the choice: a list that looks the same is not made anew. */
  function looks() {
    const mine = [store.get("favourites", []), store.get("recents", [])];
    const lists = data.providers.map(({ name, models, problem, stale, ...other }) => [name, models, problem, stale, age(other)]);
    return JSON.stringify([mine, lists]);
  }

  function build() {
    shown = looks();
    later = [];
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
    page.append(...group(phrase("Favourites"), "", all.filter((one) => favourites.has(one.key)), favourites, "", lost(favourites, by)));
    page.append(...group(phrase("Recent"), "", recent.map((key) => by.get(key)), favourites));
    for (const provider of data.providers) {
      const rest = all.filter((one) => one.provider === provider && !top.has(one.key));
      page.append(...group(provider.label, age(provider), rest, favourites, provider.problem, gone(provider)));
    }
    list.replaceChildren(page);
    if (later.length) requestAnimationFrame(some);
    note.textContent = all.length ? "" : phrase("No models yet. Connect a provider first.");
  }

  function some() {
    later.splice(0, A_FRAME).forEach((make) => make());
    if (later.length) requestAnimationFrame(some);
  }

  /** A search looks at all rows. */
  function makeRest() {
    later.splice(0).forEach((make) => make());
  }

  /** Favourites that are gone, each with the one that stands nearest. */
  function lost(favourites, by) {
    const found = [];
    for (const key of favourites) {
      const provider = data.providers.find((one) => key.startsWith(`${one.name}/`));
      if (by.has(key) || !provider?.models.length || provider.problem) continue;
      const id = key.slice(provider.name.length + 1);
      const next = successor(id, provider.models);
      const line = make("p", "hint", phrase("{model} is gone.", { model: id }) + (next ? " " : ""));
      const button = (words, favourite) => {
        const el = make("button", "mini", words);
        el.type = "button";
        el.addEventListener("click", () => {
          const now = new Set(store.get("favourites", []));
          now.delete(key);
          if (favourite) now.add(keyOf(provider.name, favourite.id));
          store.set("favourites", [...now]);
          build();
          filter();
          search.focus();
        });
        return el;
      };
      if (next) line.append(button(phrase("Take {model} instead", { model: next.name || next.id }), next));
      line.append(button(phrase("Forget it")));
      found.push(line);
    }
    return found;
  }

  function gone(provider) {
    const { gone: ids, since } = changed.get(provider.name);
    if (!ids.length) return [];
    const few = ids.slice(0, 5).join(", ");
    const names = ids.length > 5 ? phrase("{names} and {count} more", { names: few, count: ids.length - 5 }) : few;
    return [make("p", "hint", phrase("Gone since {day}: {names}", { day: day(since), names }))];
  }

  function group(title, hint, members, favourites, problem, more = []) {
    if (!members.length && !problem && !more.length) return [];
    const section = make("section", "models-group");
    const head = make("div", "models-head");
    head.append(make("h3", "", title), make("span", "hint", hint));
    section.append(head);
    if (problem) section.append(make("p", "hint", String(problem)));
    section.append(...more);
    const add = (one) => {
      const row = makeRow(one, favourites);
      rows.push({ el: row, section, model: one.model, mark: markOf(one), words: `${one.model.name} ${one.model.id} ${one.provider.label}`.toLowerCase() });
      section.append(row);
    };
    for (const one of members) {
      if (rows.length < AT_ONCE && !later.length) add(one);
      else later.push(() => add(one));
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
    const mark = markOf({ provider, model });
    if (mark) pick.append(make("span", "badge", mark));
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

  const markOf = ({ provider, model }) => changed.get(provider.name).marks.get(model.id) ?? "";
  const pressed = (name) => filters.some((one) => one.dataset.filter === name && one.getAttribute("aria-pressed") === "true");

  function choose(provider, model, key) {
    const recents = store.get("recents", []).filter((other) => other !== key);
    store.set("recents", [key, ...recents].slice(0, 10));
    dialog.close();
    onPick({ provider: provider.name, label: provider.label, model: model.id, name: model.name });
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const [free, image, fresh] = ["free", "image", "news"].map(pressed);
    const narrow = words.length || free || image || fresh;
    if (narrow) makeRest();
    const alive = new Set();
    for (const row of rows) {
      row.el.hidden = !words.every((word) => row.words.includes(word))
        || (free && !row.model.free) || (image && !row.model.inputs?.includes("image")) || (fresh && !row.mark);
      if (!row.el.hidden) alive.add(row.section);
    }
    for (const section of list.children) section.hidden = Boolean(narrow) && !alive.has(section);
    if (narrow) note.textContent = alive.size ? "" : fresh && !words.length ? phrase("Nothing has changed since your last visit.") : phrase("No model is like that.");
    else if (rows.length) note.textContent = "";
    list.scrollTop = 0;
  }

  search.addEventListener("input", filter);
  for (const button of filters) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      filter();
    });
  }
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

  return {
    open,
    /** Whether a model reads images; true where its list does not tell. */
    async sees({ provider, model }) {
      if (!data) await load().catch(() => {});
      const models = data?.providers.find((one) => one.name === provider)?.models ?? [];
      const found = models.find((one) => one.id === model);
      return !found || found.inputs.includes("image") || !models.some((one) => one.inputs.includes("image"));
    },
  };
}

function move(event, to) {
  event.preventDefault();
  to?.focus();
}

function paintStar(star, on, model) {
  star.textContent = on ? "★" : "☆";
  star.setAttribute("aria-pressed", String(on));
  star.setAttribute("aria-label", phrase("Favourite: {model}", { model: model.name || model.id }));
}

function make(tag, className, text = "") {
  const el = document.createElement(tag);
  if (className) el.className = className;
  if (text) el.textContent = text;
  return el;
}
