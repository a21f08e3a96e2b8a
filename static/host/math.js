// Formulas: TeX in an answer becomes MathML, which browsers draw by themselves. The library is
// fetched when the first formula needs it; until then, and where it cannot be read, the TeX stands
// as the model wrote it.

const MATHML = "http://www.w3.org/1998/Math/MathML";
const LIMITS = { trust: false, throwOnError: true, maxExpand: 300, maxSize: [40, 400] };
// Nothing here can load, run or link; a formula with anything else in it stays TeX.
const TAGS = new Set(("math menclose merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts " +
  "mroot mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none").split(" "));
const ATTRIBUTES = new Set(("accent accentunder align class columnalign columnlines columnspacing depth display " +
  "displaystyle fence form height largeop linebreak linethickness lspace mathbackground mathcolor mathsize " +
  "mathvariant maxsize minsize movablelimits notation rowlines rowspacing rspace scriptlevel separator stretchy " +
  "style symmetric voffset width").split(" "));
// These set a style attribute, which the page's policy refuses.
const MACROS = { "\\pmb": "\\boldsymbol", "\\sideset": "\\notknown", "\\prescript": "\\notknown" };
const WIDE = 40; // characters of TeX that may not fit on a phone

const INLINE = new RegExp([
  String.raw`^\$\$((?:\\[^]|[^$\\]){1,2000}?)\$\$`,
  // A price is no formula: no blank inside beside the dollars, no letter or digit behind them.
  String.raw`^\$(?![\s$])((?:\\.|[^$\\\n${"`"}]|\n(?!\n)){1,1000}?)(?<!\s)\$(?![\w$])`,
  String.raw`^\\\(([^]{1,1000}?)\\\)`,
  String.raw`^\\\[([^]{1,2000}?)\\\]`,
].join("|"));
const PRICE = /^\d[^\\^_={}+*/<>|]*\s[^\\^_={}+*/<>|]*$/; // "$10, or US$"
const BLOCK = /^ {0,3}(?:\$\$((?:\\[^]|[^$\\]){1,4000}?)\$\$|\\\[([^]{1,4000}?)\\\])[ \t]*(?:\n|$)/;

let temml;
let loading;

/** For marked: formulas become <code class="math">, which dressMath() draws. */
export const formulas = (escape) => {
  const renderer = ({ raw, block }) => {
    const code = `<code class="math">${escape(raw.trim())}</code>`;
    return block ? `<p>${code}</p>\n` : code;
  };
  return {
    extensions: [
      {
        name: "mathBlock",
        level: "block",
        tokenizer(src) {
          const found = BLOCK.exec(src);
          return found ? { type: "mathBlock", raw: found[0], block: true } : undefined;
        },
        renderer,
      },
      {
        name: "mathInline",
        level: "inline",
        start: (src) => {
          const at = src.indexOf("$");
          return at < 0 ? undefined : at;
        },
        tokenizer(src) {
          const found = INLINE.exec(src);
          return found && !PRICE.test(found[2]) ? { type: "mathInline", raw: found[0] } : undefined;
        },
        renderer,
      },
    ],
  };
};

export function dressMath(code) {
  if (temml) return draw(code);
  loading ??= import("../vendor/temml/temml.mjs").then((module) => (temml = module.default));
  loading.then(() => draw(code), () => (loading = null)); // it still reads
}

function draw(code) {
  const raw = code.textContent;
  const display = /^(?:\$\$|\\\[)/.test(raw);
  const place = document.createElement("span");
  const tex = raw.replace(/^(?:\$\$?|\\[[(])|(?:\$\$?|\\[\])])$/g, "");
  try {
    temml.render(tex, place, { ...LIMITS, macros: { ...MACROS }, displayMode: display });
  } catch {
    return;
  }
  if (![...place.querySelectorAll("*")].every(isTame)) return;
  if (display && tex.length > WIDE) place.tabIndex = 0; // scrolls sideways
  place.className = display ? "formula wide" : "formula";
  code.replaceWith(place);
}

const isTame = (el) =>
  el.namespaceURI === MATHML && TAGS.has(el.localName) && [...el.attributes].every(({ name }) => ATTRIBUTES.has(name));
