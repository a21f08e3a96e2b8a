// Turns times that the server wrote in UTC into those of the reader.

for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (!Number.isNaN(at.valueOf())) {
    time.textContent = at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    time.title = at.toISOString();
  }
}
