// One card: sets text and `hidden` from the card's JSON. All its parts stand in the page already,
// so no markup is ever made here.
import { get } from "./ask.js";
import { language } from "./words.js";

const channel = new BroadcastChannel("apiary-connection");

export class Card {
  constructor(section) {
    this.section = section;
    this.provider = section.dataset.provider;
    this.label = section.dataset.label;
    this.version = Number(section.dataset.version);
    for (const time of section.querySelectorAll("time[datetime]")) localTime(time);
    channel.addEventListener("message", (event) => {
      if (event.data?.provider === this.provider) setTimeout(() => this.refresh(), 300);
    });
  }

  get state() {
    return this.section.dataset.state;
  }

  part(role) {
    return this.section.querySelector(`[data-role="${role}"]`);
  }

  say(sentence, { url = "", failed = false } = {}) {
    const text = this.part("notice-text");
    text.setAttribute("role", failed ? "alert" : "status");
    this.part("notice").toggleAttribute("data-failed", failed);
    if (text.textContent !== sentence) text.textContent = sentence;
    const link = this.part("notice-link");
    link.href = url;
    link.hidden = !url;
    this.part("notice").hidden = !sentence;
  }

  focusStatus() {
    this.part("status").focus({ preventScroll: true });
  }

  /** Other tabs of this browser look again. */
  tellOthers() {
    channel.postMessage({ provider: this.provider });
  }

  async refresh() {
    const answer = await get(this.section.dataset.url);
    if (answer.status === 401) return location.reload();
    if (answer.ok) this.paint(answer.data);
    return answer.data;
  }

  paint(data) {
    const { section } = this;
    const changed = data.version !== this.version;
    this.version = data.version;
    section.dataset.version = data.version;
    section.dataset.state = data.state;
    section.dataset.source = data.source ?? "";
    for (const element of section.querySelectorAll("[data-show]")) {
      element.hidden = !element.dataset.show.split(" ").includes(data.state);
    }
    for (const element of section.querySelectorAll("[data-only-source]")) {
      element.toggleAttribute("data-off", element.dataset.onlySource !== data.source);
    }
    this.part("tick").textContent = data.state === "connected" ? "✓ " : "";
    this.#status(data.status, data.label);
    this.say(data.notice, { url: data.notice_url, failed: data.failed });
    const connect = section.querySelector("[data-action=connect]");
    connect?.classList.toggle("primary", data.state !== "connected");
    this.#facts(data);
    this.#question(data);
    if (changed) {
      document.dispatchEvent(
        new CustomEvent("apiary:connection", {
          detail: { provider: this.provider, state: data.state, version: data.version },
        }),
      );
    }
  }

  /** The key's name in the sentence is kept in one piece. */
  #status(sentence, key) {
    const [before, whole, after] = this.part("status-text").children;
    const at = key ? sentence.indexOf(key) : -1;
    before.textContent = at < 0 ? sentence : sentence.slice(0, at);
    whole.textContent = at < 0 ? "" : key;
    after.textContent = at < 0 ? "" : sentence.slice(at + key.length);
  }

  #facts(data) {
    this.#time("since", data.since);
    this.#time("checked", data.checked);
    this.part("checked").hidden = !data.checked;
    this.part("unverified").hidden = data.verified !== false;
    this.#fact("how", data.how);
    this.#fact("base_url", data.base_url ?? "");
    // What a new key is for; who writes there goes on writing.
    const address = this.part("key-form")?.elements.base_url;
    if (address) address.defaultValue = data.base_url ?? "";
    this.#fact("label", data.label ?? "");
    for (const element of this.section.querySelectorAll("[data-known]")) {
      element.hidden = !data.known;
    }
    for (const name of ["usage", "limit", "plan"]) this.#fact(name, data.facts[name]);
    const meter = this.part("meter");
    meter.hidden = data.share === null;
    meter.querySelector("meter").value = data.share ?? 0;
    for (const role of ["key-page", "receipt-page", "confirm-page"]) {
      const link = this.part(role);
      if (link) link.href = data.key_page;
    }
    this.part("key-page").hidden = !data.key_page;
    this.part("receipt-text").textContent = data.receipt;
    this.part("receipt").toggleAttribute("data-off", !data.receipt);
  }

  #question(data) {
    const form = this.part("question");
    form.hidden = !data.question;
    this.part("question-text").textContent = data.question;
    form.dataset.attempt = data.question_attempt ?? "";
  }

  #fact(name, text) {
    const place = this.section.querySelector(`[data-fact="${name}"]`);
    if (place) place.textContent = text;
  }

  #time(name, iso) {
    const time = this.section.querySelector(`[data-fact="${name}"]`);
    time.dateTime = iso ?? "";
    if (iso) localTime(time);
  }
}

/** The server writes UTC, for browsers without scripts; people read their own time. */
function localTime(time) {
  const moment = new Date(time.dateTime);
  if (Number.isNaN(moment.valueOf())) return;
  time.textContent = moment.toLocaleString(place(), { dateStyle: "medium", timeStyle: "short" });
}

/** The reader's own way to write the page's language: British English on an English page. */
function place() {
  const own = (navigator.languages ?? []).find((tag) => tag.split("-")[0] === language.split("-")[0]);
  return own ?? language;
}
