// Wires the parts of the chat page together: a question goes out, its answer comes in.

import { sourceOf } from "./answer.js";
import { attachments, filesOf, showFiles } from "./attach.js";
import { edit } from "./branches.js";
import { composer } from "./composer.js";
import { copy } from "./copy.js";
import { dressAll } from "./dress.js";
import { touch } from "./focus.js";
import { newId, store } from "./http.js";
import { instructions } from "./instructions.js";
import { connectPanel } from "./panel.js";
import { payerLine } from "./payer.js";
import { payerMenu } from "./payers.js";
import { picker } from "./picker.js";
import { followEnd } from "./scroll.js";
import { sidebar } from "./sidebar.js";
import { takeBack } from "./stranded.js";
import { talk } from "./talk.js";
import { phrase } from "./words.js";

const $ = (id) => document.getElementById(id);
const main = $("main");
const turns = $("turns");
const form = $("composer");
const say = (words) => ($("status").textContent = words);

let onPick = null; // what a choice in the list is for, beside the next message

if (!main.dataset.conversation) takeBack(main.dataset.me, isListed);

const scroll = followEnd(main, $("jump"));
const list = sidebar(main, say);
const panel = connectPanel($("connect-panel"));
const payer = payerLine($("payer"), main.dataset.payer, say);
const files = attachments(form, main.dataset.files, { say, changed: () => look() });
const box = composer(form, { send: (text, more) => chat.ask(text, more), stop: () => chat.stop(), files });
const models = picker(main.dataset.models, main.dataset.me, pick);
const can = {
  settings: main.dataset.settings,
  signIn: main.dataset.signIn,
  credits: (provider) => main.getAttribute(`data-credits-${provider}`) ?? "",
  labelOf: (provider) => main.getAttribute(`data-label-${provider}`) ?? provider,
  retry: (wish) => chat.retry(wish),
  /** @param wish {free, image: what to show; then: what to do with the choice} */
  pickModel: (wish = {}) => openPicker(wish.then ?? (() => chat.retry()), wish),
  showFiles: (turn, found) => showFiles(turn, main.dataset.files, found),
  begun: (base) => told.begun(base),
  strand: () => box.strand(told.own()),
  startOver: () => {
    box.setConversation("", true);
    location.assign(main.dataset.home);
  },
  showPanel: (action) => {
    scroll.release();
    panel.show(action === "reconnect" ? phrase("Connect again to go on.") : phrase("Connect a provider to go on."), chat.waiting);
  },
};
const choice = () => ({ model: form.elements.model.value, provider: form.elements.provider.value });

function setChoice({ provider, model }) {
  form.elements.provider.value = provider;
  form.elements.model.value = model;
  $("pick").firstElementChild.textContent = model || phrase("Choose a model");
  look();
}

/** Says before it is sent that a model cannot see what is attached. */
async function look() {
  const asked = choice();
  const blind = files.images && asked.model && !(await models.sees(asked));
  if (asked.model !== choice().model) return;
  $("blind").hidden = !blind;
  $("blind").firstElementChild.textContent = blind ? phrase("{model} cannot see images.", asked) : "";
}

function openPicker(then = null, wish = {}) {
  onPick = then;
  models.open(choice(), wish);
}

function pick(chosen) {
  setChoice(chosen);
  store.set(`model:${chat.base || "new"}`, { provider: chosen.provider, model: chosen.model });
  say(phrase("{model} answers the next message.", { model: chosen.name || chosen.model }));
  payer.refresh(chat.base, chosen);
  if (onPick) onPick();
  else if (chat.waiting) chat.retry();
  else if (!touch.matches) box.focus();
}

const chat = talk({ main, turns, box, can, say, scroll, list, panel, payer, choice, setChoice });

payerMenu($("payer"), $("payers"), main.dataset.payers, { base: () => chat.base, provider: () => choice().provider }, (option) => {
  setChoice({ provider: option.provider, model: option.model ?? "" });
  store.set(`model:${chat.base || "new"}`, { provider: option.provider, model: option.model ?? "" });
  payer.refresh(chat.base, option);
  if (!touch.matches) box.focus();
});
$("blind").querySelector("button").addEventListener("click", () => openPicker(null, { image: true }));

const told = instructions(() => chat, say);

// -- connecting in the middle of it all

document.addEventListener("apiary:connection", async ({ detail }) => {
  if (detail.state !== "connected") return payer.refresh(chat.base);
  const failed = turns.lastElementChild?.querySelector(".trouble:not([hidden])");
  if (payer.kind === "none" || chat.waiting || failed) {
    // Who connects in the middle of a chat wants that one to answer, whoever did before.
    const { provider, model } = choice();
    const label = document.querySelector(`[data-provider="${detail.provider}"]`)?.dataset.label;
    const now = await payer.refresh(chat.base, { provider: detail.provider, label });
    const known = now.provider === detail.provider ? now.model : "";
    setChoice({ provider: detail.provider, model: (provider === detail.provider && model) || known || "" });
  } else {
    await payer.refresh(chat.base);
  }
  // From the panel, as after a pasted key. Whoever is elsewhere by now stays there.
  const had = panel.hide();
  document.querySelector(".suggestions")?.removeAttribute("hidden");
  if (chat.waiting || failed) chat.retry();
  if (had && !touch.matches) box.focus();
});

// Connect ends here: below its dialog nothing takes the focus, and the card may know before it has
// closed.
document.addEventListener("apiary:settled", ({ detail }) => {
  if (detail.state === "connected" && !touch.matches) box.focus();
});

// -- buttons inside the answers

turns.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-action]");
  if (!button) return;
  const { action } = button.dataset;
  const turn = button.closest(".turn");
  if (action === "regenerate") return chat.retry({ turn });
  if (action === "regenerate-with") return openPicker(() => chat.retry({ turn }));
  if (action === "continue") return chat.goOn(turn);
  if (action === "edit") return change(turn);
  const text = action === "copy-code"
    ? button.closest(".code").querySelector("code").textContent
    : sourceOf(button.closest(".answer"));
  const done = await copy(text);
  button.textContent = done ? phrase("Copied") : phrase("Select it and copy by hand");
  setTimeout(() => (button.textContent = phrase("Copy")), 1600);
});

/** Edits a question; words that are refused come back into the same box. */
function change(turn, words) {
  const send = (text) => chat.ask(text, { id: newId(), edit: turn, files: filesOf(turn), back: () => change(turn, text) });
  edit(turn, send, words);
}

$("pick").addEventListener("click", () => openPicker());

// A <details> stays open until it is told otherwise.
const more = $("more");
document.addEventListener("click", (event) => more.contains(event.target) || (more.open = false));
more.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !more.open) return;
  event.preventDefault();
  more.open = false;
  more.querySelector("summary").focus();
});
document.querySelectorAll(".suggestions button").forEach((button) => {
  button.addEventListener("click", () => box.fill(button.textContent));
});
addEventListener("pageshow", (event) => event.persisted && location.reload()); // signed out meanwhile?

// -- start

/** Whether a conversation is in the list at the side. */
function isListed(base) {
  return [...document.querySelectorAll("#conversations a")].some((link) => link.href === base);
}

async function start() {
  box.setConversation(chat.base);
  const kept = store.get(`model:${chat.base || "new"}`);
  if (kept && kept.provider === choice().provider) setChoice(kept);
  dressAll(turns, can);
  // In a conversation single keys lead on to the next one; a new one is there to be written in.
  if (!chat.base && !touch.matches && document.activeElement === document.body) box.focus();
  if (location.hash.startsWith("#m-")) scroll.release(); // search.js shows that place
  else if (chat.waiting && payer.kind === "none") panel.reveal();
  else if (turns.childElementCount) scroll.pin();
  if ("running" in main.dataset) await chat.resume();
  else if (chat.waiting && payer.kind !== "none") await chat.retry();
}

start();
