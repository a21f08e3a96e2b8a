// Connect: the popup, the waiting dialog and the look at the server, which alone knows how an
// attempt ends. A window's handle is never believed: a cross-origin opener policy on the way makes
// it read "closed" while the window is open.
import { get, post } from "./ask.js";
import { phrase } from "./words.js";

const WINDOW = "apiary-connect";
const FINAL = new Set(["denied", "cancelled", "expired", "superseded", "failed", "lost"]);
const channel = new BroadcastChannel("apiary-connect");

// Where windows are tabs, the way through the same tab is the better one.
const samePlace = () =>
  matchMedia("(max-width: 600px), (hover: none) and (pointer: coarse)").matches ||
  matchMedia("(display-mode: standalone)").matches;

// crypto.randomUUID needs a secure context; a plain-http address in the local network is none.
const newAttempt = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");

export function watch(card) {
  return new Connect(card, card.part("connect-form"));
}

class Connect {
  constructor(card, form) {
    this.card = card;
    this.form = form;
    this.button = form.querySelector("[data-action=connect]");
    this.dialog = card.part("waiting");
    this.title = card.part("waiting-title");
    this.text = card.part("waiting-text");
    this.hint = card.part("waiting-hint");
    this.show = this.dialog.querySelector("[data-action=show-window]");
    this.key = `apiary-attempt-${card.provider}`;
    this.phase = "idle";
    this.popup = null;
    form.addEventListener("submit", (event) => this.submit(event));
    this.reopen = this.dialog.querySelector("[data-action=again]");
    this.stop = this.dialog.querySelector("[data-action=cancel]");
    this.show.addEventListener("click", () => this.popup?.focus());
    this.stop.addEventListener("click", () => this.cancel());
    // Esc is Cancel. A second Esc closes a dialog whatever is prevented, hence the second listener.
    this.dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.cancel();
    });
    this.dialog.addEventListener("close", () => this.busy && this.cancel());
    this.answerQuestion();
    channel.addEventListener("message", (event) => {
      if (event.data?.type !== "done") return;
      channel.postMessage({ type: "ack", attempt: event.data.attempt });
      if (this.busy) this.look();
      else card.refresh();
    });
    for (const name of ["focus", "online"]) addEventListener(name, () => this.nudge());
    document.addEventListener("visibilitychange", () => document.hidden || this.nudge());
    addEventListener("pageshow", (event) => event.persisted && this.leave());
    this.resume();
  }

  get busy() {
    return this.phase === "waiting" || this.phase === "exchanging";
  }

  // Nothing is awaited in here: the browser lets a window open only while it handles the click.
  submit(event) {
    if (this.phase === "opening" || this.phase === "exchanging") return event.preventDefault();
    const again = this.phase === "waiting";
    if (again && event.submitter?.dataset.action !== "again") return event.preventDefault();
    if (!this.limitIsGood()) return event.preventDefault();
    if (!navigator.cookieEnabled) {
      event.preventDefault();
      return this.card.say(
        phrase("Your browser blocks cookies for this site. Allow them and press Connect again."),
        { failed: true },
      );
    }
    this.attempt = this.form.elements.attempt.value = newAttempt();
    this.popup = samePlace() ? null : openWindow();
    if (!this.popup) {
      this.form.elements.display.value = "page";
      this.form.target = "_self";
      this.phase = "opening";
      this.button.setAttribute("aria-disabled", "true");
      this.card.say(
        samePlace()
          ? phrase("Opening {label}…", this.card)
          : phrase(
              "Your browser blocked the window. Going on in this tab: opening {label}…",
              this.card,
            ),
      );
      return;
    }
    this.form.elements.display.value = "popup";
    this.form.target = WINDOW;
    remember(this.key, this.attempt);
    this.popup.focus();
    this.wait(400);
  }

  /** An amount is judged before a window opens for it. */
  limitIsGood() {
    const field = this.form.elements.limit;
    const good = /^\s*(\$?\s*\d{1,7}([.,]\d{1,2})?)?\s*$/.test(field.value);
    field.setCustomValidity(good ? "" : phrase("Write an amount in US dollars, such as 5 or 12.50."));
    if (!good) {
      field.closest("details").open = true;
      field.reportValidity();
      field.addEventListener("input", () => field.setCustomValidity(""), { once: true });
    }
    return good;
  }

  wait(first) {
    this.phase = "waiting";
    this.started = Date.now();
    this.goneSince = 0;
    this.misses = 0;
    this.title.textContent = phrase("Waiting for approval…");
    this.tell(
      phrase("Approve the request in the {label} window. This page updates by itself.", this.card),
    );
    this.hint.hidden = true;
    this.show.hidden = !this.popup;
    this.reopen.hidden = false;
    this.stop.textContent = phrase("Cancel");
    this.card.say("");
    if (!this.dialog.open) this.dialog.showModal();
    this.again(first);
  }

  again(milliseconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), milliseconds);
  }

  nudge() {
    if (this.busy) this.again(0);
  }

  async look() {
    clearTimeout(this.timer);
    const mine = this.attempt;
    const { ok, status, data } = await get(this.url());
    if (mine !== this.attempt || !this.busy) return;
    if (status === 401) return location.reload();
    const unseen = status === 404;
    if (!ok && !unseen) {
      this.misses += 1;
      if (this.misses >= 2) this.tell(phrase("Cannot reach this site. Trying again…"));
      return this.again(Math.min(5000, 1000 * 2 ** this.misses));
    }
    this.misses = 0;
    // Success: the connection has changed, whoever changed it. The card may know of that already,
    // as from another tab; the attempt itself has ended all the same.
    if (ok && (data.version !== this.card.version || data.state === "connected")) return this.settle("");
    if (ok && data.question) return this.settle("");
    if (ok && FINAL.has(data.state)) return this.settle(data.message);
    if (ok && data.state === "exchanging") {
      this.phase = "exchanging";
      this.hint.hidden = true;
      this.title.textContent = phrase("Fetching your key…");
      this.tell(phrase("Approved. This takes a moment."));
      // Nothing can be opened again or cancelled now, but nobody has to look on.
      if ([this.show, this.reopen].includes(document.activeElement)) this.title.focus();
      this.show.hidden = this.reopen.hidden = true;
      this.stop.textContent = phrase("Close");
    } else {
      this.watchWindow(unseen);
    }
    this.again(1000);
  }

  watchWindow(unseen) {
    const gone = !this.popup || this.popup.closed;
    // Never hide the control that has the focus.
    if (gone && document.activeElement === this.show) this.title.focus();
    this.show.hidden = gone;
    this.goneSince = gone && document.hasFocus() ? this.goneSince || Date.now() : 0;
    const stuck = unseen && Date.now() - this.started > 8000;
    this.hint.hidden = !stuck && !(this.goneSince && Date.now() - this.goneSince > 1500);
  }

  async cancel() {
    if (this.phase === "exchanging") {
      this.popup = null; // it goes on by itself, and its end is told to the card
      return this.settle("");
    }
    if (this.phase !== "waiting") return;
    this.phase = "cancelling";
    const { ok, data, message } = await post(this.url("/cancel"), new FormData());
    if (ok && data.card && data.version !== this.card.version) return this.settle("");
    await this.settle(ok ? data.message : message, !ok);
  }

  /** Every way out of waiting ends here. */
  async settle(sentence, failed = false) {
    const window = this.popup;
    this.leave();
    const data = await this.card.refresh();
    // The card tells the outcome itself; what it cannot know (the site is away) is told here.
    if (sentence && !data?.notice) this.card.say(sentence, { failed });
    if (this.card.state === "connected") this.card.focusStatus();
    else this.button.focus();
    if (data) this.card.tellOthers();
    const detail = { provider: this.card.provider, state: this.card.state };
    document.dispatchEvent(new CustomEvent("apiary:settled", { detail }));
    // The window closes itself; this helps where it cannot. Not at once: closing a window in the
    // middle of a navigation makes Chromium forget the close.
    // By then it may be the window of the next attempt.
    setTimeout(() => this.phase === "idle" && window?.close(), 2000);
  }

  leave() {
    clearTimeout(this.timer);
    forget(this.key);
    this.phase = "idle";
    this.attempt = null;
    this.popup = null;
    this.button.removeAttribute("aria-disabled");
    this.hint.hidden = true;
    if (this.dialog.open) this.dialog.close();
  }

  /** After a reload in the middle: go on waiting. */
  resume() {
    const attempt = recall(this.key);
    if (!attempt) return;
    this.attempt = attempt;
    this.wait(0);
  }

  answerQuestion() {
    const form = this.card.part("question");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      this.attempt = form.dataset.attempt || form.action.split("/").at(-2);
      const what = event.submitter?.dataset.action === "replace" ? "/replace" : "/cancel";
      const { ok, data, message } = await post(this.url(what), new FormData());
      if (ok) this.card.paint(data.card);
      this.card.say(!ok ? message : what === "/replace" ? "" : data.message, { failed: !ok });
      this.card.focusStatus();
    });
  }

  tell(sentence) {
    if (this.text.textContent !== sentence) this.text.textContent = sentence;
  }

  url(tail = "") {
    return this.form.dataset.flows.replace("ATTEMPT", this.attempt) + tail;
  }
}

function openWindow() {
  const [width, height] = [520, 760];
  const left = Math.round(screenX + (outerWidth - width) / 2);
  const top = Math.round(screenY + (outerHeight - height) / 2);
  return open("", WINDOW, `popup,width=${width},height=${height},left=${left},top=${top}`);
}

// Storage may be forbidden; then a reload in the middle simply does not resume.
function remember(key, value) {
  try {
    sessionStorage.setItem(key, value);
  } catch {}
}
function recall(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}
function forget(key) {
  try {
    sessionStorage.removeItem(key);
  } catch {}
}
