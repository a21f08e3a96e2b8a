// One answer on the page: filled by the events of its stream.

import { hideError, showError } from "./errors.js";
import { streamInto } from "./markdown.js";
import { dollars, number, phrase } from "./words.js";

const FINISH = {
  stopped: phrase("Stopped"),
  length: phrase("Cut short: the longest answer allowed"),
  content_filter: phrase("Cut short by the provider's filter"),
  incomplete: phrase("Cut short"),
};

export function newTurn(kind) {
  return document.getElementById(`${kind}-template`).content.firstElementChild.cloneNode(true);
}

/** The markdown behind what is shown, for Copy. */
export const sources = new WeakMap();
export const sourceOf = (el) => sources.get(el) ?? el.querySelector(".prose").textContent;

export class Answer {
  #writer;
  #usage = {};
  #thought;
  #reasoned = "";
  #saved; // the reasoning that is shown already
  #finish = "";

  /** @param can what the buttons of an error may do; @param choice {model, provider} asked */
  constructor(el, can, choice) {
    this.el = el;
    this.can = can;
    this.choice = choice;
    const prose = el.querySelector(".prose");
    prose.classList.add("dressed");
    this.#writer = streamInto(prose, sourceOf(el));
    el.toggleAttribute("data-began", Boolean(prose.textContent));
    this.#thought = el.querySelector(".reasoning .text");
    this.#saved = this.#thought.textContent;
    el.setAttribute("aria-busy", "true");
    el.dataset.state = "streaming";
    hideError(el.querySelector(".trouble"));
    el.querySelector(".stats").textContent = "";
  }

  handle(event, data) {
    switch (event) {
      case "delta":
        this.el.dataset.began = "";
        this.#writer.add(String(data.text ?? ""));
        break;
      case "reasoning":
        this.#thought.parentElement.hidden = false;
        this.#think(String(data.text ?? ""));
        break;
      case "usage":
        this.#usage = data;
        break;
      case "error":
        this.#place(data);
        this.fail(data);
        break;
      case "done":
        this.#place(data);
        this.#end(data.finish_reason);
        break;
    }
  }

  /** Told the answer's id as soon as it is known. */
  placed = (id) => (this.el.dataset.id = id);

  #place({ message_id: id }) {
    if (!id) return;
    if (id !== this.el.dataset.id) this.#writer.letGo();
    this.placed(id);
  }

  /** What is shown stays until as much has come, as in the prose. */
  #think(text) {
    this.#reasoned += text;
    if (!this.#saved) return this.#thought.append(text);
    if (this.#reasoned.length < this.#saved.length) return;
    this.#thought.textContent = this.#reasoned;
    this.#saved = "";
  }

  fail(error) {
    this.#end("incomplete");
    this.el.dataset.state = this.#writer.text ? "incomplete" : "failed";
    this.el.toggleAttribute("data-cut", Boolean(this.#writer.text));
    showError(this.el.querySelector(".trouble"), { provider: this.choice.provider, ...error }, this.can);
  }

  #end(reason) {
    if (!this.el.hasAttribute("aria-busy")) return; // "done" after "error" changes nothing
    this.#writer.end();
    sources.set(this.el, this.#writer.text);
    this.el.removeAttribute("aria-busy");
    this.el.dataset.state = reason === "stopped" ? reason : FINISH[reason] ? "incomplete" : "complete";
    this.#finish = this.#writer.text ? FINISH[reason] : "";
    this.el.toggleAttribute("data-cut", Boolean(this.#finish) && reason !== "content_filter");
    this.tell();
  }

  /** The line below the answer. */
  tell() {
    const { prompt_tokens: asked, completion_tokens: said, cost } = this.#usage;
    const parts = [
      this.#finish,
      "continued" in this.el.dataset && phrase("Continued"),
      this.choice.model,
      asked != null && said != null && phrase("{read} tokens in, {written} out", { read: number(asked), written: number(said) }),
      cost != null && (this.choice.provider === "built-in" ? phrase("paid by this site") : paid(Number(cost))),
    ];
    this.el.querySelector(".stats").textContent = parts.filter(Boolean).join(" · ");
  }
}

function paid(amount) {
  if (amount === 0) return dollars("0");
  return amount < 0.0001 ? phrase("under {amount}", { amount: dollars("0.0001") }) : dollars(amount.toFixed(4));
}
