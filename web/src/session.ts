// Signing in and out, and the data that all pages need, which is read once.

import { batch, effect } from "@preact/signals";
import type { Start, Ways } from "./api.ts";
import { forget, get, pacer, post, Refusal, sleep, Unreachable } from "./net/client.ts";
import type { Urgency } from "./net/pacer.ts";
import { go } from "./route.ts";
import { closed, link, session, start, trouble, updated, visible } from "./state.ts";

/** When load last got an answer, in milliseconds since 1970. */
export let loadedAt = 0;

/**
 * load reads what all pages need. This also shows whether the user is signed
 * in, and whether the pages are still those of the server.
 */
export async function load(urgency: Urgency): Promise<void> {
  const known = await get<Start>("/grid/start", urgency, new AbortController().signal);
  const grid = known.limits.grid;
  if (grid) Object.assign(pacer, grid);
  loadedAt = Date.now();
  batch(() => {
    updated.value ||= start.value !== null && start.value.server.version !== known.server.version;
    start.value = known;
    session.value = "in";
  });
}

/**
 * boot calls load until there is any answer. A tab that was opened in the
 * background waits until it is visible.
 */
export async function boot(): Promise<void> {
  await until(() => visible.value);
  while (session.value === "unknown") {
    try {
      await load("person");
      comeBack();
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) closed.value = /^Sign in/.test(error.message) ? "" : error.message;
      if (session.value !== "unknown") return; // 401: the form is shown
      if (error instanceof Refusal) trouble.value = error.message;
      await (error instanceof Unreachable ? until(() => link.value.up) : sleep(5000));
    }
  }
}

function until(so: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const stop = effect(() => {
      if (so()) queueMicrotask(() => (stop(), resolve()));
    });
  });
}

/**
 * signIn signs in a user, or with the one password if there is no name. With a
 * next password, that is the user's from then on.
 */
export async function signIn(name: string, password: string, next?: string): Promise<void> {
  await post("/grid/session", { ...(name && { name }), password, ...(next && { new_password: next }) });
  forget();
  await load("person");
  comeBack();
}

/** The place before the user went to the provider. No server knows it. */
const place = "trackway-place";

/** leave notes the place, for comeBack. */
export function leave(): void {
  if (location.hash) sessionStorage.setItem(place, location.hash);
}

function comeBack(): void {
  const to = sessionStorage.getItem(place);
  sessionStorage.removeItem(place);
  if (to?.startsWith("#/") && location.hash.length < 2) go(to, true);
}

/** ways asks how one can sign in. Without an answer, both ways are offered. */
export async function ways(): Promise<Ways> {
  const answer = await fetch("/grid/session", { credentials: "same-origin" }).catch(() => null);
  return answer?.ok ? ((await answer.json()) as Ways) : { users: true, password: true };
}

/**
 * signOut ends the session at the server. Whether that works or not, it drops
 * everything that was read.
 */
export async function signOut(): Promise<void> {
  try {
    await post("/grid/session", null, "DELETE");
  } finally {
    forget();
    batch(() => {
      start.value = null;
      session.value = "out";
    });
  }
}
