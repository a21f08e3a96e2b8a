// Says that nothing can be sent just now, and looks by itself when it can again.

const AGAIN = 5000; // ms

const bar = document.getElementById("offline");
const { health, offline, unreachable } = bar.dataset;
let timer = 0;

function show(words) {
  if (bar.textContent === words) return;
  bar.textContent = words;
  // What sticks to the top sticks below it.
  document.documentElement.style.setProperty("--offline", `${bar.offsetHeight}px`);
}

async function look() {
  clearTimeout(timer);
  if (!navigator.onLine) return show(offline);
  try {
    const response = await fetch(health, { cache: "no-store", signal: AbortSignal.timeout(AGAIN) });
    if (response.ok) return show("");
  } catch {
    /* not yet */
  }
  show(unreachable);
  timer = setTimeout(look, AGAIN);
}

addEventListener("offline", () => show(offline));
addEventListener("online", look);
// From http.js: a request of the page got no answer. Once may be a hiccup: ask before saying it.
addEventListener("apiary:unreachable", look);
if (!navigator.onLine) show(offline);
