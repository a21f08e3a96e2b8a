// A large file takes its time on the way up: said at once. One that is too large is not sent: the
// server would cut it off, and the browser shows no answer to what it could not send.

import { phrase } from "./words.js";

const form = document.querySelector("#import form");
const told = form.querySelector('[role="status"]');
form.addEventListener("submit", (event) => {
  const large = form.elements.file.files[0]?.size > Number(form.dataset.largest);
  if (large) event.preventDefault();
  told.textContent = large
    ? form.dataset.tooLarge
    : phrase("Importing. A large file takes a while.");
});
const forget = () => (told.textContent = "");
form.elements.file.addEventListener("change", forget);
addEventListener("pageshow", forget);
