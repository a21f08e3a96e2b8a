// The one place that talks to our server: CSRF header, JSON bodies, one shape of error.

import { phrase } from "./words.js";

// Until the response begins: what comes before it may ask a provider which models there are.
const LATE = 30_000; // ms

const token = () => document.querySelector('meta[name="csrf-token"]')?.content ?? "";

export const UNREACHABLE = phrase("The server could not be reached.");
export const OFFLINE = {
  code: "offline",
  message: phrase("The server could not be reached. Your message is kept."),
  action: "retry",
};

/** What to say where nothing came back; whether the request arrived nobody knows. */
export function unheard(error) {
  if (error.name === "AbortError") {
    return { ...OFFLINE, code: "stopped", message: phrase("Stopped before an answer began. Your message is kept.") };
  }
  if (error.name !== "TimeoutError") return OFFLINE;
  const message = phrase("The server has not answered for {count} seconds. Your message is kept.", { count: LATE / 1000 });
  return { ...OFFLINE, message };
}

/** A fetch whose response has to begin in so many ms; its body may take its time. */
export async function fetchWithin(ms, url, { signal, ...options }) {
  const ours = new AbortController();
  const abort = () => ours.abort(signal.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort, { once: true });
  const timer = setTimeout(() => ours.abort(new DOMException("no response", "TimeoutError")), ms);
  try {
    return await fetch(url, { ...options, signal: ours.signal });
  } finally {
    clearTimeout(timer);
  }
}

/** A fetch that says so where there is no answer at all; offline.js listens. */
async function reach(url, { late = LATE, ...options }) {
  try {
    return await fetchWithin(late, url, options);
  } catch (error) {
    if (error.name !== "AbortError") dispatchEvent(new Event("apiary:unreachable"));
    throw error;
  }
}

/** @param options of fetch(), and `late`: ms until the response has to begin */
export function post(url, body = {}, options = {}, headers = {}) {
  return reach(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": token(), Accept: "application/json, text/event-stream", ...headers },
    body: JSON.stringify(body),
    cache: "no-store",
    ...options,
  });
}

export async function getJson(url, options = {}) {
  const response = await reach(url, { headers: { Accept: "application/json" }, cache: "no-store", ...options });
  if (!response.ok) throw await problem(response);
  return response.json();
}

/** What went wrong as {code, message, action}, also where the answer is no JSON of ours. */
export async function problem(response) {
  const told = await response.json().catch(() => null);
  if (told?.code === "csrf") {
    return { ...told, message: phrase("This page is too old to send from. Reload it; your message is kept."), action: "reload" };
  }
  if (told?.message) return told;
  if (response.status === 413) return { code: "too_long", message: phrase("This message is too long to send."), action: "" };
  return { code: "server", message: phrase("The server could not answer. Please try again."), action: "retry" };
}

/** An id that nobody else makes: 22 characters, 132 bits, also where there is no crypto.randomUUID. */
export const newId = () => {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return [...crypto.getRandomValues(new Uint8Array(22))].map((n) => letters[n % 64]).join("");
};

/** Storage may be full, forbidden or broken; nothing here is worth an error. */
export const store = {
  get(key, fallback = null) {
    try {
      return JSON.parse(localStorage.getItem(`apiary:${key}`)) ?? fallback;
    } catch {
      return fallback;
    }
  },
  set(key, value) {
    try {
      if (value === null || value === "") localStorage.removeItem(`apiary:${key}`);
      else localStorage.setItem(`apiary:${key}`, JSON.stringify(value));
    } catch {
      /* private mode */
    }
  },
};
