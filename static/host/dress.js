// Dresses up the answers that came with the page: markdown, and the button of an error.

import { sources } from "./answer.js";
import { showError } from "./errors.js";
import { render } from "./markdown.js";

const SLICE = 12; // ms of a frame

/** From the last to the first, a few at a time: the end is what one sees. */
export function dressAll(turns, can) {
  const answers = [...turns.querySelectorAll(".answer")].reverse();
  if (answers[0] && answers[0] === turns.lastElementChild) offer(answers[0], can);
  (function some() {
    const began = performance.now();
    while (answers.length && performance.now() - began < SLICE) dress(answers.shift());
    if (answers.length) requestAnimationFrame(some);
  })();
}

function dress(el) {
  const prose = el.querySelector(".prose");
  if (prose.classList.contains("dressed")) return; // a stream has taken it over
  sources.set(el, prose.textContent);
  prose.replaceChildren(render(prose.textContent));
  prose.classList.add("dressed");
}

function offer(el, can) {
  const trouble = el.querySelector(".trouble");
  if (trouble.hidden) return;
  const message = trouble.querySelector(".trouble-text").textContent;
  // How long there was to wait is not known any more; the server will say.
  const { action, code, affordable } = trouble.dataset;
  showError(trouble, { code, message, action, affordable, provider: el.dataset.provider, retry_after: 0 }, can);
}
