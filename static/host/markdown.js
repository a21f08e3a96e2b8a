// From a model's markdown to DOM nodes. What a model writes is hostile until shown otherwise:
// raw HTML becomes text, images become links (nothing is fetched, so nothing leaks), and all
// that is left goes through DOMPurify as the last step. Nodes are inserted, never strings.

import { Marked } from "../vendor/marked/marked.esm.js";
import "../vendor/dompurify/purify.min.js";
import { dressCode } from "./code.js";
import { dressMath, formulas } from "./math.js";
import { phrase } from "./words.js";

const GAP = 50; // ms between two paints of the growing block
const SANITISE = {
  RETURN_DOM_FRAGMENT: true,
  ALLOWED_TAGS: ("p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote strong em del code pre a " +
    "table thead tbody tr th td").split(" "),
  ALLOWED_ATTR: ["href", "title", "start", "align", "class"],
  ADD_URI_SAFE_ATTR: ["start", "align"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};

const escape = (text) =>
  text.replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]);

const marked = new Marked({
  gfm: true,
  renderer: {
    html: ({ text, block }) => (block ? `<p>${escape(text.trim())}</p>\n` : escape(text)),
    image: ({ href, text, title }) =>
      `<a href="${escape(href)}"${title ? ` title="${escape(title)}"` : ""}>${escape(text || "image")}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
}, formulas(escape));

/** The whole text at once. */
export function render(text) {
  return fragment(lex(text), true);
}

/**
 * Renders text into `el` as it comes: add(), then end().
 * @param saved the text that is shown there; it stays until as much has come, or it is let go
 */
export function streamInto(el, saved = "") {
  const stable = document.createElement("div");
  const open = document.createElement("div");
  if (!saved) el.replaceChildren(stable, open);
  let all = "";
  let tail = "";
  let timer = 0;
  let ended = false;
  let gap = GAP;

  // Text that comes later can only extend the last block. So all blocks but the last are
  // rendered once and cut off the tail; only the last one is rendered again and again.
  function paint() {
    timer = 0;
    if (all.length < saved.length) return;
    const began = performance.now();
    const blocks = lex(tail);
    let ready = blocks.length;
    while (ready && blocks[ready - 1].type === "space") ready--; // a blank line closes nothing yet
    ready = Math.max(0, ready - 1);
    if (ready) {
      const done = part(blocks, 0, ready);
      stable.append(fragment(done, true));
      tail = tail.slice(done.reduce((length, block) => length + block.raw.length, 0));
    }
    const rest = part(blocks, ready);
    if (!growCode(open, rest)) open.replaceChildren(fragment(rest, false));
    if (open.parentNode !== el) el.replaceChildren(stable, open);
    gap = Math.max(GAP, 4 * (performance.now() - began)); // one huge block must not eat the page
  }

  return {
    add(text) {
      if (ended) return;
      all += text;
      // The lexer counts \r\n as one character; a \r at the end may be half of one.
      tail = (tail + text).replace(/\r\n|\r(?!$)/g, "\n");
      timer ||= setTimeout(paint, gap);
    },
    // A full pass puts right what needs the whole text: reference links, lists with gaps.
    end() {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      if (all.length < saved.length) all = saved;
      else el.replaceChildren(render(all));
    },
    /** Another text comes than what is shown. */
    letGo() {
      saved = "";
    },
    get text() {
      return all;
    },
  };
}

function lex(text) {
  try {
    return marked.lexer(text);
  } catch {
    // Nested deeper than the stack: shown as it is.
    return Object.assign([{ type: "text", raw: text, text }], { links: {} });
  }
}

function part(blocks, from, to) {
  const some = blocks.slice(from, to);
  some.links = blocks.links ?? {};
  return some;
}

/** A code block that only grew keeps its nodes, so that a selection in it survives. */
function growCode(open, blocks) {
  const token = blocks[0];
  const code = open.dataset.code === token?.lang && open.querySelector("pre > code");
  const same = code && token.type === "code" && !blocks.slice(1).some((b) => b.type !== "space");
  if (same) code.textContent = token.text + "\n";
  else if (token?.type === "code" && token.lang) open.dataset.code = token.lang;
  else delete open.dataset.code;
  return same;
}

function fragment(blocks, highlight) {
  let html;
  try {
    html = marked.parser(blocks);
  } catch {
    html = `<pre><code>${escape(blocks.map((b) => b.raw).join(""))}</code></pre>`;
  }
  const nodes = DOMPurify.sanitize(html, SANITISE);
  nodes.querySelectorAll("a").forEach(dressLink);
  nodes.querySelectorAll("h1, h2").forEach(demote);
  nodes.querySelectorAll("pre > code").forEach((code) => {
    code.dataset.lang = /(?:^| )language-(\S+)/.exec(code.className)?.[1] ?? "";
  });
  const math = [...nodes.querySelectorAll("code.math")];
  nodes.querySelectorAll("[class]").forEach((el) => el.removeAttribute("class"));
  nodes.querySelectorAll("table").forEach(wrapTable);
  nodes.querySelectorAll("pre").forEach((pre) => dressCode(pre, highlight));
  math.forEach(dressMath);
  // Each block is read in its own direction; code and formulas always from the left.
  for (const block of nodes.children) if (!block.matches(".code")) block.dir = "auto";
  return nodes;
}

function dressLink(a) {
  const url = parseUrl(a.getAttribute("href") ?? "");
  if (!url || !["http:", "https:", "mailto:"].includes(url.protocol)) {
    a.replaceWith(...a.childNodes);
    return;
  }
  a.rel = "noopener noreferrer nofollow";
  a.target = "_blank";
  // Where a link leads is part of what it says: text alone can lie.
  const place = url.protocol === "mailto:" ? url.pathname : url.host;
  const said = a.textContent.trim();
  if (said === place || said === a.getAttribute("href")) return;
  const host = document.createElement("span");
  host.className = "host";
  host.textContent = ` (${place})`;
  a.append(host);
}

function parseUrl(href) {
  try {
    return new URL(href);
  } catch {
    return null;
  }
}

/** The page's own headings end at h2; the model's stay below them. */
function demote(heading) {
  const h3 = document.createElement("h3");
  h3.append(...heading.childNodes);
  heading.replaceWith(h3);
}

/** A wide table scrolls inside itself, and the keyboard can scroll it. */
function wrapTable(table) {
  const box = document.createElement("div");
  box.className = "table";
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", phrase("Table"));
  table.replaceWith(box);
  box.append(table);
}
