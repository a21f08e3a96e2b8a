// What the page's scripts say, in its language. The texts here are English; a page in another
// language carries their translations as data, so that nothing has to be waited for.
const words = {};
for (const data of document.querySelectorAll("script[type='application/json'][data-apiary-words]")) {
  Object.assign(words, JSON.parse(data.textContent));
}

export const language = document.documentElement.lang || "en";

/** A sentence; `{names}` in it stand for the values. */
export const phrase = (text, values = {}) =>
  (words[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
