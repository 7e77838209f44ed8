// The place within the dashboard: #/customers?q=jane. Everything comes after
// the #, so customers' ids appear in no log.

import { computed, signal } from "@preact/signals";

export const pages = ["overview", "live", "customers", "customer", "limits", "destinations", "catalogue", "users", "alarms", "audit"] as const;
export type Page = (typeof pages)[number];

export interface Route {
  page: Page;
  query: URLSearchParams;
}

/** parse parses a hash. One that names no page means the overview. */
export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const page = pages.find((name) => name === path) ?? "overview";
  return { page, query: new URLSearchParams(query) };
}

type Query = { [name: string]: string | readonly string[] | null | undefined };

/** href returns a hash without its empty parts. */
export function href(page: Page, query: Query = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of typeof value === "string" ? [value] : (value ?? [])) {
      if (one !== "") params.append(name, one);
    }
  }
  const text = params.toString();
  return `#/${page}${text && "?"}${text}`;
}

const hash = signal(typeof location === "undefined" ? "" : location.hash);

/** The present place. */
export const route = computed(() => parse(hash.value));

/**
 * The scroll position of the page that the user goes back to; 0 for a new page.
 */
export let scrolled = 0;

/**
 * follow keeps the route in step with the address bar, and remembers the scroll
 * position of each step in the history.
 */
export function follow(): void {
  const positions = new Map<number, number>();
  let count = 0;
  let step = 0;
  history.scrollRestoration = "manual"; // the browser would scroll before the page is drawn
  addEventListener("hashchange", () => {
    positions.set(step, scrollY);
    const known = (history.state as { step?: number } | null)?.step;
    step = known ?? ++count;
    if (known === undefined) history.replaceState({ step }, "");
    scrolled = positions.get(step) ?? 0;
    hash.value = location.hash;
  });
  history.replaceState({ step }, "");
}

/**
 * go goes to a place. With replace, it leaves no step for the Back button, as
 * for a search while it is being typed.
 */
export function go(to: string, replace = false): void {
  if (to === location.hash) return;
  if (replace) {
    history.replaceState(history.state, "", to);
    hash.value = to;
  } else {
    location.hash = to;
  }
}
