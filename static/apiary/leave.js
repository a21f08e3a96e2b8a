// A page that says what went wrong. In a window of its own its way back is to close it: the page
// that opened it tells the rest.
if (opener || name === "apiary-connect") {
  document.querySelector("[data-action=back]")?.addEventListener("click", (event) => {
    event.preventDefault();
    close();
  });
}
