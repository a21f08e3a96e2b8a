// A first message that was refused stands only under the address of a conversation that holds
// nothing and is in no list. Its words, files and instructions come back in the next new chat.

import { store } from "./http.js";

const nameOf = (writer) => `stranded:${writer}`;

/** @param instructions written for that conversation, or null */
export function strand(writer, base, instructions) {
  store.set(nameOf(writer), { base, instructions });
}

export function forget(writer) {
  store.set(nameOf(writer), null);
}

/** @param isListed whether a conversation is in the list: then its message arrived after all */
export function takeBack(writer, isListed) {
  const kept = store.get(nameOf(writer));
  if (!kept) return;
  forget(writer);
  const [draft, files] = [`draft:${writer}:`, "files:"];
  if (isListed(kept.base) || store.get(`${draft}new`) || store.get(`${files}new`)) return;
  for (const key of [draft, `sent:${draft}`, files]) move(key, kept.base);
  if (kept.instructions !== null) store.set("instructions:new", kept.instructions);
}

function move(key, base) {
  store.set(`${key}new`, store.get(key + base));
  store.set(key + base, null);
}
