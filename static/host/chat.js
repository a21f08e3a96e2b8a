// Wires the parts of the chat page together: a question goes out, its answer comes in.

import { Answer, newTurn, sourceOf } from "./answer.js";
import { composer } from "./composer.js";
import { copy } from "./copy.js";
import { dressAll } from "./dress.js";
import { OFFLINE, post, problem, store } from "./http.js";
import { connectPanel } from "./panel.js";
import { payerLine } from "./payer.js";
import { picker } from "./picker.js";
import { followEnd } from "./scroll.js";
import { sidebar } from "./sidebar.js";
import { consume, follow } from "./stream.js";

const $ = (id) => document.getElementById(id);
const main = $("main");
const turns = $("turns");
const form = $("composer");
const say = (words) => ($("status").textContent = words);

const ENDED = {
  complete: "The answer is complete.",
  stopped: "The answer was stopped.",
  incomplete: "The answer broke off.",
  failed: "No answer came.",
};

let base = main.dataset.conversation; // the conversation's URL, "" until there is one
let running = null; // AbortController of the answer being written
let retryOnPick = false; // the list was opened to mend an answer that failed
let waiting = "waiting" in main.dataset; // a question is kept until somebody can answer

const scroll = followEnd(main, $("jump"));
const list = sidebar(main, say);
const panel = connectPanel($("connect-panel"));
const payer = payerLine($("payer"), main.dataset.payer, say);
const box = composer(form, { send: ask, stop });
const models = picker(main.dataset.models, pick);
const can = {
  settings: main.dataset.settings,
  signIn: main.dataset.signIn,
  credits: (provider) => main.getAttribute(`data-credits-${provider}`) ?? "",
  retry: () => retry(),
  pickModel: () => openPicker(true),
  showPanel: (action) => {
    scroll.release();
    panel.show(action === "reconnect" ? "Connect again to go on." : "Connect a provider to go on.", waiting);
  },
};
// A question that met one of these was not taken in; trying again must send its text.
const NOT_TAKEN = /^(?:http_|busy|too_|server|csrf|signed_out|database|offline)/;

const choice = () => ({ model: form.elements.model.value, provider: form.elements.provider.value });

function setChoice({ provider, model }) {
  form.elements.provider.value = provider;
  form.elements.model.value = model;
  $("pick").firstElementChild.textContent = model || "Choose a model";
}

function openPicker(mends = false) {
  retryOnPick = mends;
  models.open(choice());
}

function pick(chosen) {
  setChoice(chosen);
  store.set(`model:${base || "new"}`, { provider: chosen.provider, model: chosen.model });
  say(`${chosen.name || chosen.model} answers the next message.`);
  payer.refresh(base, chosen);
  if (retryOnPick || waiting) retry();
  else box.focus();
}

// -- one question, one answer

async function ask(text) {
  $("greeting")?.remove();
  const question = newTurn("question");
  question.querySelector(".text").textContent = text;
  turns.append(question);
  scroll.pin();
  const answer = begin();
  if (!base && !(await create(text))) {
    const message = "The conversation could not be opened. Reload the page; your message is kept.";
    return finish(answer, () => answer.fail({ ...OFFLINE, message, action: "reload" }));
  }
  await write(answer, () => post(`${base}/messages`, { text, ...choice() }, { signal: running.signal }), text);
}

/** Answers the last question once more; what stands there goes when the server agrees. */
async function retry() {
  if (running || !base) return;
  const old = [];
  for (let el = turns.lastElementChild; el?.matches(".answer"); el = el.previousElementSibling) old.push(el);
  old.forEach((el) => (el.hidden = true));
  waiting = false;
  const taken = await write(begin(), () => post(`${base}/retry`, choice(), { signal: running.signal }), "", () =>
    old.forEach((el) => el.remove()));
  if (!taken) old.forEach((el) => (el.hidden = el.dataset.state === "failed"));
}

function begin() {
  running = new AbortController();
  box.setRunning(true);
  const answer = new Answer(newTurn("answer"), can, choice());
  turns.append(answer.el);
  scroll.pin();
  say("The answer is being written.");
  return answer;
}

async function create(text) {
  try {
    const response = await post(main.dataset.create);
    if (!response.ok) return false;
    const { id } = await response.json();
    base = new URL(`${main.dataset.create}/${id}`, location.href).href;
  } catch {
    return false;
  }
  history.replaceState(null, "", base);
  list.add(base, titleOf(text));
  box.setConversation(base, true);
  store.set(`model:${base}`, store.get("model:new"));
  return true;
}

/** As the server makes it. */
function titleOf(text) {
  const line = text.trim().replace(/\s+/g, " ");
  return line.length <= 60 ? line : `${line.slice(0, 59).trimEnd()}…`;
}

/** Sends, then reads. @returns whether the server took it; `taken` is told at once. */
async function write(answer, send, text = "", taken = () => {}) {
  let response;
  try {
    response = await send();
  } catch {
    // Nobody knows whether it arrived: the draft stays, and trying again sends it again.
    answer.can = { ...can, retry: () => resend(answer, text) };
    finish(answer, () => answer.fail(OFFLINE));
    return false;
  }
  if (response.ok) {
    taken();
    box.accepted();
    await read(answer, response);
    return true;
  }
  const error = await problem(response);
  if (error.code === "not_connected") {
    box.accepted(); // the server keeps the question
    waiting = true;
    finish(answer, () => {
      answer.el.remove();
      scroll.release();
      panel.show(error.message, waiting);
    });
    return false;
  }
  if (NOT_TAKEN.test(error.code)) answer.can = { ...can, retry: () => resend(answer, text) };
  else box.accepted();
  finish(answer, () => answer.fail(error));
  return false;
}

function resend(answer, text) {
  const question = answer.el.previousElementSibling;
  answer.el.remove();
  if (!text) return retry();
  question?.remove();
  return ask(text);
}

async function read(answer, response) {
  const url = `${base}/stream`;
  const outcome = await consume(response, url, (event, data) => {
    if (event === "lost") say("Connection lost. Reconnecting…");
    else if (event === "found") say("Connected again.");
    else answer.handle(event, data);
    answer.el.toggleAttribute("data-lost", event === "lost");
  }, running.signal);
  if (outcome === "gone") return location.reload(); // finished while we were away: it is saved
  finish(answer, () => {
    if (outcome === "lost") answer.fail({ ...OFFLINE, message: "The connection was lost. What was written is kept.", action: "reload" });
    if (outcome === "aborted") answer.handle("done", { finish_reason: "stopped" });
  });
}

function finish(answer, last) {
  running = null;
  box.setRunning(false);
  last();
  say(ENDED[answer.el.dataset.state] ?? "");
  if (base) payer.refresh(base, choice()).then((now) => {
    // The server chose the model where the page did not.
    if (choice().model || !now.model) return;
    setChoice(now);
    answer.choice.model = now.model;
    answer.tell();
  });
}

async function stop() {
  if (!running) return;
  const { signal } = running;
  const controller = running;
  box.stopping();
  await post(`${base}/stop`).catch(() => {});
  // The server ends the stream itself; if it cannot, the page does.
  setTimeout(() => signal.aborted || running !== controller || controller.abort(), 2000);
}

// -- connecting in the middle of it all

document.addEventListener("apiary:connection", async ({ detail }) => {
  if (detail.state !== "connected") return payer.refresh(base);
  const failed = turns.lastElementChild?.querySelector(".trouble:not([hidden])");
  if (payer.kind === "none" || waiting || failed) {
    // Who connects in the middle of a chat wants that one to answer, whoever did before.
    const { provider, model } = choice();
    const label = document.querySelector(`[data-provider="${detail.provider}"]`)?.dataset.label;
    const now = await payer.refresh(base, { provider: detail.provider, label });
    const known = now.provider === detail.provider ? now.model : "";
    setChoice({ provider: detail.provider, model: (provider === detail.provider && model) || known || "" });
  } else {
    await payer.refresh(base);
  }
  panel.hide();
  document.querySelector(".suggestions")?.removeAttribute("hidden");
  if (waiting || failed) retry();
  else box.focus();
});

// -- buttons inside the answers

turns.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-action]");
  if (!button) return;
  const { action } = button.dataset;
  if (action === "regenerate") return retry();
  const text = action === "copy-code"
    ? button.closest(".code").querySelector("code").textContent
    : sourceOf(button.closest(".answer"));
  const done = await copy(text);
  button.textContent = done ? "Copied" : "Select it and copy by hand";
  setTimeout(() => (button.textContent = "Copy"), 1600);
});

$("pick").addEventListener("click", () => openPicker());
document.querySelectorAll(".suggestions button").forEach((button) => {
  button.addEventListener("click", () => box.fill(button.textContent));
});
addEventListener("pageshow", (event) => event.persisted && location.reload()); // signed out meanwhile?

// -- start

async function start() {
  box.setConversation(base && new URL(base, location.href).href);
  if (base) base = new URL(base, location.href).href;
  const kept = store.get(`model:${base || "new"}`);
  if (kept && kept.provider === choice().provider) setChoice(kept);
  dressAll(turns, can);
  if (location.hash.startsWith("#m-")) scroll.release(); // search.js shows that place
  else scroll.pin();
  if ("running" in main.dataset) await resume();
  else if (waiting && payer.kind !== "none") await retry();
}

async function resume() {
  const last = turns.lastElementChild;
  const el = last?.matches(".answer") ? last : turns.appendChild(newTurn("answer"));
  running = new AbortController();
  box.setRunning(true);
  const answer = new Answer(el, can, choice());
  const response = await follow(`${base}/stream`, "", running.signal).catch(() => "lost");
  if (typeof response !== "string") return read(answer, response);
  // It ended between the page and this question; once is enough to look again.
  const key = `looked:${base}`;
  const again = store.get(key) !== location.href + last?.dataset.id;
  store.set(key, again ? location.href + last?.dataset.id : null);
  if (response === "gone" && again) return location.reload();
  finish(answer, () => answer.fail({ ...OFFLINE, message: "This answer broke off.", action: "retry" }));
}

start();
