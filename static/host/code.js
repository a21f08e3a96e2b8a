// A code block's frame: its language, a Copy button, and colours. The highlighter and each
// language are fetched when the first block needs them, so a page without code loads none.

import { phrase } from "./words.js";

const LANGUAGES = new Set(
  "bash cpp css diff go java javascript json python rust sql typescript xml yaml".split(" "),
);
const ALIASES = {
  sh: "bash", shell: "bash", zsh: "bash", console: "bash", c: "cpp", h: "cpp", "c++": "cpp", hpp: "cpp",
  patch: "diff", golang: "go", js: "javascript", jsx: "javascript", mjs: "javascript", jsonc: "json",
  py: "python", python3: "python", rs: "rust", ts: "typescript", tsx: "typescript",
  html: "xml", svg: "xml", xhtml: "xml", yml: "yaml",
};
const LONGEST = 20_000; // characters; beyond that colours are not worth the wait
const HIGHLIGHTED = { RETURN_DOM_FRAGMENT: true, ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"] };

let hljs;
const loading = new Map();

export function dressCode(pre, highlight) {
  const code = pre.querySelector("code");
  pre.tabIndex = 0; // scrolls sideways, so the keyboard must reach it
  const box = document.createElement("div");
  box.className = "code";
  box.dir = "ltr";
  const head = document.createElement("div");
  head.className = "code-head";
  const label = document.createElement("span");
  label.textContent = code?.dataset.lang || "text";
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "mini";
  copy.dataset.action = "copy-code";
  copy.textContent = phrase("Copy");
  head.append(label, copy);
  pre.replaceWith(box);
  box.append(head, pre);
  if (highlight && code) colour(code);
}

function colour(code) {
  const said = (code.dataset.lang ?? "").toLowerCase();
  const name = ALIASES[said] ?? said;
  if (!LANGUAGES.has(name) || code.textContent.length > LONGEST) return;
  if (loading.get(name) === true) paint(code, name);
  else load(name).then(() => paint(code, name), () => {}); // without colours it still reads
}

function load(name) {
  if (!loading.has(name)) {
    const both = Promise.all([
      import("../vendor/highlight/core.min.js"),
      import(`../vendor/highlight/languages/${name}.min.js`),
    ]);
    loading.set(name, both.then(([core, language]) => {
      hljs = core.default;
      hljs.registerLanguage(name, language.default);
      loading.set(name, true);
    }));
  }
  return loading.get(name);
}

function paint(code, name) {
  const { value } = hljs.highlight(code.textContent, { language: name, ignoreIllegals: true });
  code.replaceChildren(DOMPurify.sanitize(value, HIGHLIGHTED));
}
