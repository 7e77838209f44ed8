// What all pages share.

import { computed, effect, signal } from "@preact/signals";
import type { Project, Start } from "./api.ts";

/** What GET /grid/start told; null until somebody is signed in. */
export const start = signal<Start | null>(null);

/** unknown until the server was asked the first time. */
export const session = signal<"unknown" | "in" | "out">("unknown");

/** Why nobody can sign in at all, in the server's words; empty if somebody can. */
export const closed = signal("");

/** Whether the server was updated since these pages were loaded: they are the old ones then. */
export const updated = signal(false);

/** Why the pages cannot begin yet, in the server's words; empty if nothing is wrong. */
export const trouble = signal("");

/** Whether the server can be reached, and if not, when (milliseconds since 1970) it is tried again. */
export const link = signal<{ up: boolean; retryAt: number }>({ up: true, retryAt: 0 });

/** Until when (milliseconds since 1970) a request of this person waits for the limit; 0: nothing waits. */
export const waitingUntil = signal(0);

/** Whether the page can be seen. A hidden one asks for nothing, after a moment's grace; one that was opened hidden, from the beginning. */
export const visible = signal(typeof document === "undefined" || document.visibilityState === "visible");

/** What is to be read out to those who cannot see it. */
export const announcement = signal("");

/** remembered is a signal that outlives the page, where the browser allows it. */
function remembered<T extends string>(name: string, values: readonly T[], usual: T) {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(name);
  } catch {
    // A browser that keeps nothing still shows the pages.
  }
  const value = signal<T>(values.find((one) => one === stored) ?? usual);
  effect(() => {
    try {
      localStorage.setItem(name, value.value);
    } catch {
      // As above.
    }
  });
  return value;
}

export const themes = ["auto", "light", "dark"] as const;
export const theme = remembered("trackway.theme", themes, "auto");

/** Whether single keys do something: some assistive tools send them. */
export const shortcuts = remembered("trackway.keys", ["on", "off"] as const, "on");

export const projects = computed<Project[]>(() => start.value?.projects ?? []);

/** projectOf finds a project by its token. */
export function projectOf(token: string | null): Project | undefined {
  return projects.value.find((project) => project.token === token);
}

/** watchVisibility keeps `visible`; going away counts after `grace` milliseconds, so that a glance elsewhere costs nothing. */
export function watchVisibility(grace = 5000): void {
  let timer = 0;
  const look = () => {
    clearTimeout(timer);
    if (document.visibilityState === "visible") visible.value = true;
    else if (visible.value) timer = window.setTimeout(() => (visible.value = false), grace);
  };
  document.addEventListener("visibilitychange", look);
  look();
}
