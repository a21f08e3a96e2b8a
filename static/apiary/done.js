// The popup's last page asks whether a page of ours is open that waits for it. If so this window
// closes itself, else it becomes the way back. The message tells no outcome: "look now" is all.

const { attempt, back } = document.body.dataset;
const channel = new BroadcastChannel("apiary-connect");

const heard = await new Promise((resolve) => {
  const ask = () => channel.postMessage({ type: "done", attempt });
  // Long enough for a settings page that is just being reloaded.
  const ticking = setInterval(ask, 150);
  const limit = setTimeout(() => finish(false), 1200);
  function finish(answer) {
    clearInterval(ticking);
    clearTimeout(limit);
    resolve(answer);
  }
  channel.addEventListener("message", (event) => {
    if (event.data?.type === "ack" && event.data.attempt === attempt) finish(true);
  });
  ask();
});
if (heard) window.close();
else location.replace(back);
