// One sentence, one button. The server says which button by `action`; here it gets its label
// and what it does.

import { phrase } from "./words.js";

const LABELS = {
  connect: phrase("Connect"),
  reconnect: phrase("Reconnect"),
  credits: phrase("Add credits"),
  provider: phrase("Open settings"),
  settings: phrase("Open settings"),
  pick_model: phrase("Pick another model"),
  shorter: phrase("Ask for a shorter answer"),
  cheaper: phrase("Pick a cheaper or free model"),
  retry: phrase("Try again"),
  wait: phrase("Try again"),
  reload: phrase("Reload"),
  sign_in: phrase("Sign in"),
  new_chat: phrase("Start a new chat"),
};
const IN_PLACE = new Set(["", "openrouter", "built-in"]); // providers whose card stands in the chat itself
const WAIT = 20; // seconds, where the server does not say

/**
 * @param {HTMLElement} box the .trouble of an answer
 * @param {{code, message, action, retry_after?, provider?, url?}} error
 * @param {{retry, pickModel, labelOf, showPanel: (action) => void, credits: (provider) => string, settings, signIn: string}} can
 */
export function showError(box, error, can) {
  box.querySelector(".trouble-text").textContent = error.message || phrase("Something went wrong.");
  box.querySelectorAll(".button").forEach((old) => old.remove());
  box.hidden = false;
  const buttons = error.code === "out_of_credit" ? credit(error, can) : [control(error, can)];
  box.append(...buttons.filter(Boolean));
}

/** Out of credit: what can be had for it, what costs less, and where to add some. */
function credit(error, can) {
  const { affordable, provider = "" } = error;
  const shorter = affordable > 0 && button("shorter", () => can.retry({ max_tokens: Number(affordable) }));
  const page = control({ ...error, action: "credits" }, can);
  if (page?.target) page.textContent = phrase("Open credits at {provider}", { provider: can.labelOf(provider) });
  return [shorter, button("cheaper", () => can.pickModel({ free: true })), page];
}

export function hideError(box) {
  box.hidden = true;
  box.querySelector(".trouble-text").textContent = "";
  box.querySelectorAll(".button").forEach((old) => old.remove());
}

function control(error, can) {
  const { action, provider = "" } = error;
  if (!LABELS[action]) return null;
  const settings = can.settings + (provider && provider !== "built-in" ? `#${provider}` : "");
  switch (action) {
    case "connect":
    case "reconnect":
      return IN_PLACE.has(provider) ? button(action, () => can.showPanel(action)) : link(action, settings);
    case "credits": {
      const url = error.url || can.credits(provider);
      return url ? link(action, url, true) : link(action, settings);
    }
    case "provider":
      return error.url ? link(action, error.url, true) : link(action, settings);
    case "settings":
      return link(action, settings);
    case "sign_in":
      return link(action, can.signIn);
    case "pick_model":
      return button(action, () => can.pickModel());
    case "wait":
      return countdown(button(action, () => can.retry()), error.retry_after ?? WAIT);
    case "new_chat":
      return button(action, () => can.startOver());
    case "reload":
      return button(action, () => location.reload());
    default:
      return button(action, () => can.retry());
  }
}

function button(action, run) {
  const el = document.createElement("button");
  el.type = "button";
  el.className = "button";
  el.textContent = LABELS[action];
  el.addEventListener("click", run);
  return el;
}

function link(action, href, outside = false) {
  const el = document.createElement("a");
  el.className = "button";
  el.textContent = LABELS[action];
  el.href = href;
  if (!/^https?:$/.test(el.protocol)) return null;
  if (outside) {
    el.target = "_blank";
    el.rel = "noopener noreferrer";
  }
  return el;
}

/** Off until the provider will listen again, and says for how long. */
function countdown(el, seconds) {
  const until = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    el.disabled = left > 0;
    el.textContent = left > 0 ? phrase("Try again in {time}", { time: readable(left) }) : LABELS.wait;
    if (left > 0) setTimeout(tick, 1000);
  };
  tick();
  return el;
}

function readable(seconds) {
  if (seconds < 90) return phrase("{count} s", { count: seconds });
  if (seconds < 5400) return phrase("{count} min", { count: Math.round(seconds / 60) });
  return phrase("{count} h", { count: Math.round(seconds / 3600) });
}
