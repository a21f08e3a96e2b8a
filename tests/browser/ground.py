"""A page that holds nothing but the renderer of answers, under the real policy."""

from collections.abc import Iterator

import pytest
from flask import Flask, Response, send_from_directory
from playwright.sync_api import Page

from apiary import STATIC
from apiary.host import edge
from tests.servers import serve

_HARNESS = """
import { render, streamInto } from "./static/markdown.js";
import { Parser } from "./static/sse.js";

window.violations = [];
window.executed = [];
addEventListener("securitypolicyviolation", (e) =>
  violations.push(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
for (const name of ["alert", "confirm", "prompt"]) window[name] = (x) => executed.push(String(x));

const LISTS = {
  p: [], br: [], hr: [], h3: [], h4: [], h5: [], h6: [], ul: [], ol: ["start"], li: [],
  blockquote: [], strong: [], em: [], del: [], table: [], thead: [], tbody: [], tr: [],
  th: ["align"], td: ["align"], code: ["data-lang"], pre: ["tabindex"],
  a: ["href", "title", "rel", "target"],
  span: ["class", "tabindex"], div: ["class", "tabindex", "role", "aria-label", "data-code"],
  button: ["type", "class", "data-action"],
};
const CLASSES =
  /^(code|formula( wide)?|code-head|table|host|mini|hljs-[a-z_-]+( [a-z_]+)*|language-[a-z]+)$/;

// A formula: no element that loads, links or holds HTML, no attribute that leads anywhere.
const FORMULA = new RegExp("^(math|none|m(i|n|o|s|text|space|row|frac|sqrt|root|style|padded" +
  "|phantom|enclose|error|sub|sup|subsup|under|over|underover|multiscripts|prescripts" +
  "|table|tr|td))$");
const LEADS = /^(on.*|href|src|xlink:.*|actiontype|definitionurl|encoding|id|name)$/i;

window.audit = (root) => {
  const wrong = [];
  for (const el of root.querySelectorAll("*")) {
    if (el.namespaceURI === "http://www.w3.org/1998/Math/MathML") {
      const leads = [...el.attributes].some(
        ({ name, value }) => LEADS.test(name) || /url|script/i.test(value));
      if (!FORMULA.test(el.localName) || leads) wrong.push(el.outerHTML);
      continue;
    }
    const allowed = LISTS[el.localName];
    if (!allowed || el.namespaceURI !== "http://www.w3.org/1999/xhtml") wrong.push(el.outerHTML);
    for (const { name, value } of el.attributes) {
      if (name === "dir") {
        // Set by us, and to nothing else.
        if (!/^(auto|ltr)$/.test(value)) wrong.push(`dir ${value}`);
      } else if (!allowed?.includes(name)) wrong.push(`${name} in ${el.outerHTML}`);
      if (name === "class" && !CLASSES.test(value)) wrong.push(`class ${value}`);
    }
    if (el.localName === "button" && el.dataset.action !== "copy-code") wrong.push(el.outerHTML);
    if (el.localName === "a") {
      const hrefs = [el.protocol, el.getAttribute("href")];
      const fine = hrefs.every((href) => /^(https?|mailto):/i.test(href));
      const tame = el.rel === "noopener noreferrer nofollow" && el.target === "_blank";
      if (!fine || !tame) wrong.push(el.outerHTML);
    }
  }
  return wrong;
};
const place = () => document.body.appendChild(document.createElement("div"));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

window.once = (text) => {
  const el = place();
  el.append(render(text));
  return el;
};
/** Every piece gets time to be painted before the next one comes. */
window.streamed = async (pieces, check) => {
  const el = place();
  const writer = streamInto(el);
  const wrong = [];
  for (const piece of pieces) {
    writer.add(piece);
    await pause(120);
    wrong.push(...audit(el));
  }
  writer.end();
  wrong.push(...audit(el));
  if (!check) el.remove();
  return check ? el : wrong;
};
/** What ran late has run by then. */
window.settled = () => pause(400);
window.until = async (found) => { for (let n = 0; n < 750 && !found(); n++) await pause(20); };
window.lookAt = (el) => el.innerHTML;
window.render = render;
window.Parser = Parser;
window.ready = true;
"""
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>x</title><body>'
    '<script type="module" src="harness.js"></script>'
)


def _app() -> Flask:
    app = Flask(__name__, static_folder=str(STATIC / "host"), static_url_path="/static")

    @app.get("/")
    def index() -> str:
        return _PAGE

    @app.get("/harness.js")
    def harness() -> Response:
        return Response(_HARNESS, mimetype="text/javascript")

    @app.get("/vendor/<path:name>")
    def vendor(name: str) -> Response:
        return send_from_directory(STATIC / "vendor", name)

    @app.after_request
    def policy(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = edge.POLICY
        return response

    return app


@pytest.fixture
def ground(page: Page) -> Iterator[Page]:
    """An empty page with the renderer at hand; nothing may run on it or break its policy."""
    with serve(_app()) as url:
        page.goto(url)
        page.wait_for_function("window.ready")
        yield page
        assert page.evaluate("[executed, violations, window.pwned ?? null]") == [[], [], None]
        page.goto("about:blank")
