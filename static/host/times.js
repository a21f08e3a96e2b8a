// Times as the reader knows them. The server writes UTC, for browsers without scripts.

import { place } from "./words.js";

/** @param {Date} at */
export const moment = (at) => at.toLocaleString(place, { dateStyle: "medium", timeStyle: "short" });

/** @param {Date} at @param {string} [timeZone] that of the day, if it is not the reader's */
export const day = (at, timeZone) => at.toLocaleDateString(place, { dateStyle: "medium", timeZone });

for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.valueOf())) continue;
  if (time.dateTime.length === 10) time.textContent = day(at, "UTC"); // a day has no time zone
  else {
    time.textContent = moment(at);
    time.title = at.toISOString();
  }
}
