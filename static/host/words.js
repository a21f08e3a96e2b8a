// What the page's scripts say, in its language. The texts here are English; a page in another
// language carries their translations as data, so that nothing has to be waited for.
const data = document.querySelector("script[type='application/json'][data-words]");
const words = data ? JSON.parse(data.textContent) : {};

export const language = document.documentElement.lang || "en";
/** The reader's own way to write that language: British English on an English page. */
export const place =
  (navigator.languages ?? []).find((tag) => tag.split("-")[0] === language) ?? language;

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

/** A sentence; `{names}` in it stand for the values. */
export const phrase = (text, values = {}) => fill(words[text] ?? text, values);

const ORDER = ["zero", "one", "two", "few", "many", "other"];
const rules = new Intl.PluralRules(language);
const kinds = ORDER.filter((kind) => rules.resolvedOptions().pluralCategories.includes(kind));

/** A sentence about a number of things, which is `{count}`. */
export function phraseN(one, many, count, values = {}) {
  const forms = words[one] ?? [one, many];
  const at = Math.min(kinds.indexOf(rules.select(count)), forms.length - 1);
  return fill(forms[at], { count: number(count), ...values });
}

const written = new Intl.NumberFormat(language);
export const number = (count) => written.format(count);

const point = written.formatToParts(0.5).find((part) => part.type === "decimal").value;
/** An amount in USD, from digits with a point. */
export const dollars = (digits) => phrase("${amount}", { amount: digits.replace(".", point) });
