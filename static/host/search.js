// The search box at the side: titles are filtered at once, full-text hits follow below them.

import { getJson, post } from "./http.js";
import { phrase } from "./words.js";

const PAUSE = 150; // ms after the last key, before the server is asked
const SLOW = 400; // ms until the page says that it is searching

const $ = (id) => document.getElementById(id);
const form = $("search-form");
const input = $("filter");
const hits = $("hits");
const state = $("search-state");
let asking = null; // AbortController of the question under way
let pause = 0;
let shown = ""; // the words that the hits belong to

input.addEventListener("input", () => {
  filterTitles();
  clearTimeout(pause);
  asking?.abort();
  if (!input.value.trim()) return clear();
  pause = setTimeout(ask, PAUSE);
});
// Enter takes the first hit; without any, the form leads to the page that says so.
form.addEventListener("submit", (event) => {
  const first = links()[0];
  if (!first || shown !== input.value.trim()) return;
  event.preventDefault();
  first.click();
});
$("side").addEventListener("keydown", (event) => {
  const link = event.target.closest?.("#folders li > a, #conversations a, #hits a");
  if (event.target !== input && !link) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const all = [input, ...links()];
    const to = all.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1);
    if (!all[to]) return;
    event.preventDefault();
    all[to].focus();
  } else if (event.key === "Escape" && (input.value || link)) {
    event.preventDefault(); // or it would close the drawer
    input.value = "";
    clear();
    filterTitles();
    input.focus();
  }
});
document.addEventListener("apiary:listed", filterTitles);
if (input.value.trim()) input.dispatchEvent(new Event("input")); // kept by the browser over Back

function links() {
  const shown = ["#folders details[open] li:not([hidden]) > a", "#conversations li:not([hidden]) > a:not([hidden])", "#hits a"];
  return [...$("side").querySelectorAll(shown)];
}

const titled = () => $("side").querySelectorAll("#folders li, #conversations li");

function filterTitles() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of titled()) {
    const title = item.querySelector("a").textContent.toLowerCase();
    item.hidden = !words.every((word) => title.includes(word));
  }
  // A folder opens for as long as something in it is looked for.
  for (const folder of $("folders").children) {
    const details = folder.firstElementChild;
    folder.hidden = words.length > 0 && !folder.querySelector("li:not([hidden])");
    if (words.length && !("was" in folder.dataset)) folder.dataset.was = details.open ? "open" : "";
    if (words.length) details.open = true;
    else if ("was" in folder.dataset) {
      details.open = folder.dataset.was === "open";
      delete folder.dataset.was;
    }
  }
}

function clear() {
  shown = "";
  hits.replaceChildren();
  $("hits-title").hidden = true;
  tell("");
}

function tell(words) {
  if (state.textContent !== words) state.textContent = words;
}

async function ask() {
  const words = input.value.trim();
  const mine = (asking = new AbortController());
  const slow = setTimeout(() => tell(phrase("Searching…")), SLOW);
  try {
    const found = await getJson(`${form.action}?q=${encodeURIComponent(words)}`, { signal: mine.signal });
    if (!mine.signal.aborted) show(words, found);
  } catch (error) {
    if (!mine.signal.aborted) tell(error.message && error.code ? error.message : phrase("The search could not be reached."));
  } finally {
    clearTimeout(slow);
  }
}

function show(words, { results, more }) {
  shown = words;
  // Titles that are in the list are filtered there already.
  const listed = new Set([...titled()].map((item) => item.querySelector("a").pathname));
  const texts = results.filter(({ snippet, url }) => snippet.length || !listed.has(url));
  hits.replaceChildren(...texts.map(row));
  $("hits-title").hidden = !texts.length;
  const titles = [...titled()].filter((item) => !item.hidden).length;
  if (more) tell(phrase("The newest {count} are shown. Add a word to narrow it down.", { count: texts.length }));
  else if (!texts.length && !titles) tell(phrase("Nothing has these words."));
  else tell(texts.length ? "" : phrase("In titles only."));
}

function row({ url, title, role, snippet }) {
  const link = document.createElement("a");
  link.href = url;
  link.className = "hit";
  link.append(marked("hit-title", title));
  if (snippet.length) link.append(role === "user" ? yours(snippet) : marked("hit-text", snippet));
  // The same page with another place in it does not load anew.
  link.addEventListener("click", () => setTimeout(reveal));
  const item = document.createElement("li");
  item.append(link);
  return item;
}

/** The words after "You:" have a direction of their own. */
function yours(snippet) {
  const span = document.createElement("span");
  span.className = "hit-text";
  span.append(`${phrase("You:")} `, marked("", snippet, "bdi"));
  return span;
}

function marked(name, parts, element = "span") {
  const span = document.createElement(element);
  if (name) span.className = name;
  for (const [text, hit] of parts) {
    const piece = document.createElement(hit ? "mark" : "span");
    piece.textContent = text;
    span.append(piece);
  }
  return span;
}

// -- arriving at a hit

async function reveal() {
  const place = /^#m-([\w-]+)$/.exec(location.hash);
  if (!place) return;
  const base = $("main").dataset.conversation;
  const turn = document.querySelector(`#turns [data-id="${CSS.escape(place[1])}"]`);
  if (!turn) {
    // It stands in another branch: show that one, and look again once.
    const key = `apiary:branch:${place[1]}`;
    if (!base || sessionStorage.getItem(key)) return sessionStorage.removeItem(key);
    sessionStorage.setItem(key, "1");
    const done = await post(`${base}/path`, { message_id: place[1] }).catch(() => null);
    return done?.ok ? location.reload() : undefined;
  }
  const side = $("side");
  if (side.matches(":popover-open")) side.hidePopover();
  // The answers above are dressed first, which moves it.
  requestAnimationFrame(() => requestAnimationFrame(() => {
    turn.scrollIntoView({ block: "center", behavior: "instant" });
    turn.classList.add("sought");
    turn.tabIndex = -1;
    turn.focus({ preventScroll: true });
    setTimeout(() => turn.classList.remove("sought"), 2500);
  }));
}

reveal();
