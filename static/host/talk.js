// One question and its answer at a time: sent, read to the end, and taken up again after a reload.

import { Answer, newTurn } from "./answer.js";
import { identify, versionsOf } from "./branches.js";
import { hideError, showError } from "./errors.js";
import { isIn, land } from "./focus.js";
import { newId, OFFLINE, post, problem, store, unheard } from "./http.js";
import { consume, follow, followAgain } from "./stream.js";
import { phrase } from "./words.js";

const GONE = { message: phrase("This conversation was deleted."), action: "new_chat" };
const KEPT = phrase("Your message is in the box below.");
const ENDED = {
  complete: phrase("The answer is complete."),
  stopped: phrase("The answer was stopped."),
  incomplete: phrase("The answer broke off."),
  failed: phrase("No answer came."),
};
// A question that met one of these was not taken in; trying again must send its text.
const REFUSED = /^(?:http_4|too_long|no_file|no_message|not_found)/; // and would be again, as it is
const NOT_TAKEN = /^(?:http_|busy|too_|server|csrf|signed_out|database|offline|text_only|no_|not_found)/;

/** @param page {main, turns, box, can, say, scroll, list, panel, payer, choice, setChoice} */
export function talk({ main, turns, box, can, say, scroll, list, panel, payer, choice, setChoice }) {
  const absolute = (url) => url && new URL(url, location.href).href;
  let base = absolute(main.dataset.conversation); // the conversation's URL, "" until there is one
  let running = null; // AbortController of the answer being written
  let waiting = "waiting" in main.dataset; // a question is kept until somebody can answer

  /** @param more {id, edit: the question that this one stands beside, files} */
  async function ask(text, more = {}) {
    if (running) return;
    document.getElementById("greeting")?.remove();
    turns.querySelectorAll("[data-refused]").forEach((el) => el.remove());
    const { edit, files = [], id, back = () => box.takeBack(text, files) } = more;
    const first = !turns.querySelector(".turn");
    const question = newTurn("question");
    question.querySelector(".text").textContent = text;
    question.dataset.unsent = ""; // until the server has it, there is nothing to edit
    can.showFiles(question, files);
    const old = edit ? [edit, ...after(edit)] : [];
    old.forEach((el) => (el.hidden = true));
    turns.append(question);
    scroll.pin();
    const answer = begin();
    const closed = base ? null : await create(text || files.map((file) => file.name).join(", "));
    const resend = () => {
      question.remove();
      return ask(text, more);
    };
    if (closed) {
      answer.can = { ...can, retry: () => [answer.el.remove(), resend()] };
      return finish(answer, () => answer.fail(closed));
    }
    identify(question, base, id, edit ? versionsOf(edit) : []);
    const body = { text, id, ...choice(), ...(edit && { edit: edit.dataset.id }) };
    if (files.length) body.attachments = files.map((file) => file.id);
    const taken = () => {
      old.forEach((el) => el.remove());
      delete question.dataset.unsent;
    };
    await write(answer, () => post(`${base}/messages`, body, { signal: running.signal }), {
      taken,
      kept: taken,
      lost: () => first && can.strand(),
      refused: () => {
        question.remove();
        old.forEach((el) => (el.hidden = false));
        back();
      },
      resend,
    });
  }

  /**
   * Answers a question once more, beside the answer that it has.
   * @param wish {turn: the question or its answer, max_tokens, id: of the new answer}
   */
  async function retry({ turn, id = newId(), ...wish } = {}) {
    if (running || !base) return;
    let asked = turn ?? lastQuestion();
    while (asked && !asked.matches(".asked")) asked = asked.previousElementSibling;
    const old = asked ? after(asked) : [];
    const versions = old[0] && !(old[0].dataset.state === "failed") ? versionsOf(old[0]) : [];
    old.forEach((el) => (el.hidden = true));
    waiting = false;
    const answer = begin(versions);
    const body = { id, ...choice(), ...wish, ...(turn && { message_id: asked.dataset.id }) };
    const taken = await write(answer, () => post(`${base}/retry`, body, { signal: running.signal }), {
      taken: () => old.forEach((el) => el.remove()),
      resend: () => retry({ turn, id, ...wish }),
    });
    if (!taken) old.forEach((el) => (el.hidden = el.dataset.state === "failed"));
  }

  /** Lets an answer that was cut go on; it comes back as one text, also where it has gone on unheard. */
  async function goOn(el) {
    if (running || !base) return;
    const had = isIn(el);
    busy();
    if (had) land(el);
    const trouble = el.querySelector(".trouble");
    hideError(trouble);
    let error;
    const continued = Number(el.dataset.continued ?? 0);
    try {
      const body = { message_id: el.dataset.id, continued, ...choice() };
      const response = await post(`${base}/continue`, body, { signal: running.signal });
      if (response.ok) {
        el.dataset.continued = continued + 1;
        return read(new Answer(el, can, choice()), response);
      }
      error = await problem(response);
      if (error.code === "not_found") Object.assign(error, GONE);
    } catch (nothing) {
      error = unheard(nothing);
    }
    idle();
    showError(trouble, { provider: choice().provider, ...error }, { ...can, retry: () => goOn(el) });
  }

  function busy() {
    running = new AbortController();
    box.setRunning(true);
    turns.toggleAttribute("data-busy", true);
    say(phrase("The answer is being written."));
  }

  function idle() {
    running = null;
    box.setRunning(false);
    turns.toggleAttribute("data-busy", false);
  }

  function begin(versions = []) {
    busy();
    const answer = new Answer(newTurn("answer"), can, choice());
    answer.placed = (id) => identify(answer.el, base, id, versions);
    const had = isIn(turns);
    turns.append(answer.el);
    if (had) land(answer.el);
    scroll.pin();
    return answer;
  }

  const after = (el) => {
    const found = [];
    for (let next = el.nextElementSibling; next; next = next.nextElementSibling) found.push(next);
    return found;
  };
  const lastQuestion = () => [...turns.querySelectorAll(".asked")].at(-1);

  /** Opens a conversation on the server, for its first message. @returns null, or what hindered */
  async function create(text) {
    try {
      const response = await post(main.dataset.create, {}, { signal: running?.signal });
      if (!response.ok) return { action: "reload", ...(await problem(response)) };
      const { id } = await response.json();
      base = absolute(`${main.dataset.create}/${id}`);
    } catch (nothing) {
      return unheard(nothing);
    }
    history.replaceState(null, "", base);
    list.add(base, titleOf(text));
    box.setConversation(base, true);
    store.set(`model:${base}`, store.get("model:new"));
    for (const entry of document.querySelectorAll("#more [data-tail]")) {
      entry[entry.tagName === "FORM" ? "action" : "href"] = base + entry.dataset.tail;
    }
    document.getElementById("more").hidden = false;
    await can.begun(base);
    return null;
  }

  /**
   * Sends, then reads.
   * @param on {taken: the answer begins, kept: the question waits, lost: the server has it not,
   *   refused: it cannot be sent as it is, resend: try again}
   * @returns whether the answer began
   */
  async function write(answer, send, { taken, resend, refused, kept = () => {}, lost = () => {} }) {
    const retried = () => {
      answer.el.remove();
      return resend();
    };
    let response;
    try {
      response = await send();
    } catch (nothing) {
      // Nobody knows whether it arrived: the draft stays, and the same id asks only once.
      answer.can = { ...can, retry: retried };
      lost();
      finish(answer, () => answer.fail(unheard(nothing)));
      return false;
    }
    if (response.ok) {
      taken();
      box.accepted();
      await read(answer, response);
      return true;
    }
    const error = await problem(response);
    if (error.code === "not_found") Object.assign(error, GONE, refused && { message: `${GONE.message} ${KEPT}` });
    if (error.code === "not_connected") {
      kept();
      box.accepted(); // the server keeps the question
      waiting = true;
      finish(answer, () => {
        answer.el.remove();
        scroll.release();
        panel.show(error.message, waiting);
      });
      return false;
    }
    if (NOT_TAKEN.test(error.code)) lost();
    if (refused && REFUSED.test(error.code)) {
      answer.el.dataset.refused = "";
      refused();
    } else if (NOT_TAKEN.test(error.code)) answer.can = { ...can, retry: retried, pickModel: () => can.pickModel({ image: error.code === "text_only", then: retried }) };
    else {
      kept(); // the server keeps the question
      box.accepted();
    }
    finish(answer, () => answer.fail(error));
    return false;
  }

  async function read(answer, response) {
    const outcome = await consume(response, `${base}/stream`, (event, data) => {
      if (event === "lost") say(phrase("Connection lost. Reconnecting…"));
      else if (event === "found") say(phrase("Connected again."));
      else answer.handle(event, data);
      answer.el.toggleAttribute("data-lost", event === "lost");
    }, running.signal);
    if (outcome === "gone") return location.reload(); // finished while we were away: it is saved
    finish(answer, () => {
      if (outcome === "lost") answer.fail({ ...OFFLINE, message: phrase("The connection was lost. What was written is kept."), action: "reload" });
      if (outcome === "aborted") answer.handle("done", { finish_reason: "stopped" });
    });
  }

  function finish(answer, last) {
    idle();
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
    if (!base) return controller.abort(); // there is no conversation yet
    await post(`${base}/stop`, {}, { late: 5000 }).catch(() => {});
    // The server ends the stream itself; if it cannot, the page does.
    setTimeout(() => signal.aborted || running !== controller || controller.abort(), 2000);
  }

  /** Takes up an answer that was being written when the page was loaded. */
  async function resume() {
    const last = turns.lastElementChild;
    const el = last?.matches(".answer") ? last : turns.appendChild(newTurn("answer"));
    busy();
    const answer = new Answer(el, can, choice());
    const place = [`${base}/stream`, "", running.signal];
    const response = await follow(...place).catch(() => followAgain(...place));
    if (typeof response !== "string") return read(answer, response);
    // It ended between the page and this question; once is enough to look again.
    const key = `looked:${base}`;
    const looked = `${last?.dataset.id}.${last?.dataset.continued ?? 0}`;
    const again = store.get(key) !== looked;
    store.set(key, again ? looked : null);
    if (response === "gone" && again) return location.reload();
    finish(answer, () => answer.fail({ ...OFFLINE, message: phrase("This answer broke off."), action: "retry" }));
  }

  return {
    get base() {
      return base;
    },
    get waiting() {
      return waiting;
    },
    ask,
    retry,
    goOn,
    create,
    stop,
    resume,
  };
}

/** As the server makes it. */
function titleOf(text) {
  const line = text.trim().replace(/\s+/g, " ");
  return line.length <= 60 ? line : `${line.slice(0, 59).trimEnd()}…`;
}
