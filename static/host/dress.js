// Dresses up the answers that came with the page: markdown, and the button of an error.

import { sources } from "./answer.js";
import { showError } from "./errors.js";
import { render } from "./markdown.js";

const SLICE = 12; // ms of a frame

/** What one sees at once, then what comes near, and the others when there is nothing else to do. */
export function dressAll(turns, can) {
  const answers = [...turns.querySelectorAll(".answer")].reverse();
  if (answers[0] && answers[0] === turns.lastElementChild) offer(answers[0], can);
  const some = (left) => {
    while (answers.length && left() > 0) dress(answers.shift());
  };
  const began = performance.now();
  some(() => SLICE - (performance.now() - began));
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      dress(target);
    }
  }, { rootMargin: "150% 0px" });
  answers.forEach((el) => near.observe(el));
  idly(function rest(deadline) {
    some(() => deadline.timeRemaining());
    if (answers.length) idly(rest);
    else near.disconnect();
  });
}

const idly = (run) => {
  if (window.requestIdleCallback) return requestIdleCallback(run);
  return setTimeout(() => {
    const until = performance.now() + SLICE;
    run({ timeRemaining: () => until - performance.now() });
  }, 50);
};

function dress(el) {
  const prose = el.querySelector(".prose");
  if (prose.classList.contains("dressed")) return; // done already, or a stream has taken it over
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
