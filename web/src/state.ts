// The state that all pages share.

import { computed, effect, signal } from "@preact/signals";
import { type Project, type Role, roles, type Start } from "./api.ts";

/** The answer of GET /grid/start; null until somebody is signed in. */
export const start = signal<Start | null>(null);

/** unknown until the server was asked for the first time. */
export const session = signal<"unknown" | "in" | "out">("unknown");

/** The server's reason why nobody can sign in; empty if people can. */
export const closed = signal("");

/**
 * Whether the server was updated after these pages were loaded, so that they
 * are outdated.
 */
export const updated = signal(false);

/**
 * The server's reason why the pages cannot start yet; empty if nothing is
 * wrong.
 */
export const trouble = signal("");

/**
 * Whether the server can be reached and, if not, the time of the next try (in
 * milliseconds since 1970).
 */
export const link = signal<{ up: boolean; retryAt: number }>({ up: true, retryAt: 0 });

/**
 * Until when (in milliseconds since 1970) a request of this person waits for
 * the limit; 0: nothing waits.
 */
export const waitingUntil = signal(0);

/**
 * Whether the page is visible. A hidden page makes no requests after a short
 * while; one that was opened hidden makes none from the start.
 */
export const visible = signal(typeof document === "undefined" || document.visibilityState === "visible");

/** The text for screen readers to announce. */
export const announcement = signal("");

/**
 * remembered returns a signal that outlives the page, if the browser allows it.
 */
function remembered<T extends string>(name: string, values: readonly T[], usual: T) {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(name);
  } catch {
    // Even if the browser stores nothing, the pages work.
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

/** Whether single keys do something. Some assistive tools send such keys. */
export const shortcuts = remembered("trackway.keys", ["on", "off"] as const, "on");

export const projects = computed<Project[]>(() => start.value?.projects ?? []);

/** projectOf finds a project by its token. */
export function projectOf(token: string | null): Project | undefined {
  return projects.value.find((project) => project.token === token);
}

/**
 * may reports whether the user has at least a role in a project or, without
 * one, for all projects. It only decides what is shown: the server decides what
 * is allowed.
 */
export function may(least: Role, token?: string | null): boolean {
  const role = token ? projectOf(token)?.role : start.value?.user.role;
  return role !== undefined && role !== "" && roles.indexOf(role) >= roles.indexOf(least);
}

/**
 * watchVisibility keeps `visible` current. Hiding the page counts after `grace`
 * milliseconds, so that a glance at another tab costs nothing.
 */
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
