// Files that go with the next message: picked, dropped or pasted; kept on the server at once, so
// that a reload loses none of them.

import { UNREACHABLE, post, problem, store } from "./http.js";
import { phrase } from "./words.js";

const MOST = 10;
const IMAGE = 5 * 1024 * 1024;
const LATE = 300_000; // ms for the way up too

/**
 * @param url where files are kept
 * @param on {say: (words), changed: () => void}
 */
export function attachments(form, url, on) {
  const list = form.querySelector("#files");
  const trouble = form.querySelector("#file-trouble");
  const picked = form.querySelector("#file");
  let key = "files:new";
  let files = []; // {id, kind, name}
  let loading = 0;

  function paint() {
    list.replaceChildren(...files.map((file) => {
      const item = document.createElement("li");
      const remove = document.createElement("button");
      remove.type = "button";
      remove.className = "icon";
      remove.textContent = "✕";
      remove.setAttribute("aria-label", phrase("Remove {name}", file));
      remove.addEventListener("click", () => drop(file));
      item.append(shown(url, file), remove);
      return item;
    }));
    if (loading) {
      const item = document.createElement("li");
      item.className = "hint";
      item.textContent = phrase("Uploading…");
      list.append(item);
    }
    list.hidden = !list.children.length;
    on.changed();
  }

  function drop(file) {
    complain("");
    files = files.filter((other) => other !== file);
    store.set(key, files.length ? files : null);
    paint();
    form.elements.text.focus();
    post(`${url}/${file.id}/delete`).catch(() => {});
  }

  function complain(words) {
    trouble.hidden = !words;
    trouble.textContent = words;
    if (words) on.say(words);
  }

  async function add(found) {
    complain("");
    for (const file of found) {
      if (files.length >= MOST) {
        complain(phrase("A message takes at most {most} files.", { most: MOST }));
        break;
      }
      loading++;
      paint();
      const problem = await upload(file);
      loading--;
      if (problem) complain(`${file.name || phrase("The file")}: ${problem}`);
      else on.say(phrase("{name} is attached.", files.at(-1)));
      store.set(key, files.length ? files : null);
      paint();
    }
  }

  async function upload(file) {
    if (file.size > IMAGE) return phrase("An image may have 5 MB. Make it smaller.");
    try {
      const headers = { "Content-Type": "application/octet-stream" };
      const response = await post(`${url}?name=${encodeURIComponent(file.name || "pasted.png")}`, undefined, { body: file, late: LATE }, headers);
      if (!response.ok) return (await problem(response)).message;
      files = [...files, await response.json()];
      return "";
    } catch {
      return UNREACHABLE;
    }
  }

  form.querySelector("#attach").addEventListener("click", () => picked.click());
  picked.addEventListener("change", () => {
    add([...picked.files]);
    picked.value = "";
  });
  form.elements.text.addEventListener("paste", (event) => {
    const found = [...event.clipboardData.files];
    if (!found.length) return;
    event.preventDefault();
    add(found);
  });
  const place = form.closest(".talk");
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  place.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    place.dataset.drop = "";
  });
  place.addEventListener("dragleave", (event) => {
    if (!place.contains(event.relatedTarget)) delete place.dataset.drop;
  });
  place.addEventListener("drop", (event) => {
    delete place.dataset.drop;
    if (!carries(event)) return;
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });

  return {
    get loading() {
      return loading > 0;
    },
    get some() {
      return files.length > 0;
    },
    get images() {
      return files.some((file) => file.kind === "image");
    },
    /** The files go with a message now; they stay in the store until the server has it. */
    take() {
      const taken = files;
      files = [];
      paint();
      return taken;
    },
    accepted() {
      store.set(key, files.length ? files : null);
    },
    /** The files of a message that was refused. */
    put(back) {
      files = [...back, ...files].slice(0, MOST);
      store.set(key, files.length ? files : null);
      paint();
    },
    setConversation(id, keep) {
      const kept = store.get(key);
      if (keep) store.set(key, null);
      key = `files:${id || "new"}`;
      if (keep) store.set(key, kept);
      else files = store.get(key, []);
      paint();
    },
  };
}

/** Files below a message. */
export function showFiles(turn, url, files) {
  const place = turn.querySelector(".files");
  place.replaceChildren(...files.map((file) => shown(url, file)));
  place.hidden = !files.length;
}

/** The files of a message that is on the page. */
export const filesOf = (turn) =>
  [...turn.querySelectorAll(".file")].map(({ dataset: { id, kind, name } }) => ({ id, kind, name }));

function shown(url, { id, kind, name }) {
  const link = document.createElement("a");
  link.className = "file";
  link.href = `${url}/${id}`;
  link.target = "_blank";
  link.rel = "noopener";
  Object.assign(link.dataset, { id, kind, name });
  if (kind === "image") {
    const image = document.createElement("img");
    image.src = link.href;
    image.alt = name;
    link.append(image);
  } else link.textContent = name;
  return link;
}
