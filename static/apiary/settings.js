// Brings every card on the page to life; without it the same forms work page by page.
import { Card } from "./card.js";
import { post } from "./ask.js";
import { phrase } from "./words.js";

const STALE = 5 * 60_000;

for (const section of document.querySelectorAll("section[data-provider]")) {
  const card = new Card(section);
  watchKey(card);
  watchDisconnect(card);
  watchCheck(card);
  // With the flag off nothing of Connect is loaded.
  // Where it cannot be had, as from a page that is left already, the form goes on in this tab.
  if (card.part("connect-form")) import("./connect.js").then((connect) => connect.watch(card), () => {});
  // Another tab may have changed the connection while this page lay in the back-forward cache.
  addEventListener("pageshow", (event) => event.persisted && card.refresh());
}

function watchKey(card) {
  const form = card.part("key-form");
  if (!form) return;
  const field = form.elements.api_key;
  const unchecked = card.part("unchecked");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    const body = new FormData(form);
    busy(form, true);
    card.say(phrase("Asking {label}…", card));
    const answer = await post(form.action, body);
    busy(form, false);
    if (answer.ok) {
      form.reset();
      unchecked.hidden = true;
      card.paint(answer.data);
      card.focusStatus();
      card.tellOthers();
      return;
    }
    unchecked.hidden = !answer.data.can_store;
    card.say(answer.message, { failed: true });
    (form.elements[answer.data.field] ?? field).focus();
  });
}

function watchDisconnect(card) {
  const form = card.part("disconnect-form");
  const dialog = card.part("confirm");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!event.submitter?.dataset.confirmed) {
      dialog.showModal();
      return;
    }
    dialog.close();
    const answer = await post(form.action, new FormData(form));
    if (answer.ok) card.paint(answer.data);
    else card.say(answer.message, { failed: true });
    (card.part("connect-form")?.querySelector("[data-action=connect]") ??
      card.part("key-form")?.elements.api_key)?.focus();
    card.tellOthers();
  });
  dialog.querySelector("[data-action=stay]").addEventListener("click", () => dialog.close());
  dialog.querySelector("[data-action=check-revoked]")?.addEventListener("click", async () => {
    const text = card.part("revoked-text");
    text.hidden = false;
    text.textContent = phrase("Asking {label}…", card);
    const answer = await post(card.part("check-form").action, new FormData(card.part("check-form")));
    if (answer.ok) card.paint(answer.data);
    if (!answer.ok || answer.data.notice) text.textContent = answer.data.notice || answer.message;
    else if (answer.data.state === "rejected")
      text.textContent = phrase("It is revoked: {label} no longer accepts this key.", card);
    else text.textContent = phrase("Not yet: {label} still accepts this key.", card);
  });
}

function watchCheck(card) {
  const form = card.part("check-form");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    busy(form, true);
    const answer = await post(form.action, new FormData(form));
    busy(form, false);
    if (answer.ok) card.paint(answer.data);
    if (!answer.ok) card.say(answer.message, { failed: true });
    else if (event.submitter && !answer.data.notice && answer.data.state === "connected")
      card.say(phrase("Checked just now: {label} accepts this key.", card));
  });
  // What a key has used is asked again when somebody looks at it and the answer is old.
  const told = Date.parse(card.section.querySelector("[data-fact=checked]").dateTime);
  if (card.state === "connected" && Date.now() - told > STALE) form.requestSubmit();
}

// Not `disabled`: a button that is disabled while it has the focus loses it.
function busy(form, yes) {
  form.ariaBusy = String(yes);
  for (const button of form.querySelectorAll("button")) button.ariaDisabled = String(yes);
}
