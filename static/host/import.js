// A large file takes its time on the way up: said at once.

import { phrase } from "./words.js";

const form = document.querySelector("#import form");
const told = form.querySelector('[role="status"]');
form.addEventListener("submit", () => (told.textContent = phrase("Importing. A large file takes a while.")));
addEventListener("pageshow", () => (told.textContent = ""));
