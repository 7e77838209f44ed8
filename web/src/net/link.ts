// Whether the server can be reached. Whoever notices that it cannot says so here; then one probe after the other asks, with
// growing waits, and everybody goes on once it answers.

import { batch } from "@preact/signals";
import { link, visible } from "../state.ts";
import { backoff } from "./backoff.ts";

let attempt = 0;
let timer = 0;

/** down notes that a request got no answer. */
export function down(): void {
  if (!link.value.up) return;
  attempt = 0;
  plan();
}

/** tryNow asks the server at once, because a person or the browser thinks that it is back. */
export function tryNow(): void {
  if (link.value.up) return;
  clearTimeout(timer);
  void probe();
}

function plan(): void {
  const wait = backoff(attempt++, Math.random());
  link.value = { up: false, retryAt: Date.now() + wait };
  timer = window.setTimeout(probe, wait);
}

/** probe asks for what costs nothing. */
async function probe(): Promise<void> {
  if (!visible.value) return plan();
  try {
    const answer = await fetch("/", { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(10_000) });
    if (answer.status >= 500) return plan();
    batch(() => (link.value = { up: true, retryAt: 0 }));
  } catch {
    plan();
  }
}

/** watchNetwork believes the browser when it says that the network is gone or back. */
export function watchNetwork(): void {
  addEventListener("offline", down);
  addEventListener("online", tryNow);
}
