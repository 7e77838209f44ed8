// Whether the server can be reached. Code that gets no answer calls down. Then
// one probe after the other asks the server, with growing waits, and everything
// continues once it answers.

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

/**
 * tryNow asks the server at once, because a person or the browser believes that
 * it is back.
 */
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

/** probe makes a request that counts towards no limit. */
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

/**
 * watchNetwork believes the browser if it reports that the network is gone or
 * back.
 */
export function watchNetwork(): void {
  addEventListener("offline", down);
  addEventListener("online", tryNow);
}
