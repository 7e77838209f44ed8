// Where in the dashboard one is: #/customers?q=jane. All of it lies behind the #, so that ids of customers reach no log.

import { computed, signal } from "@preact/signals";

export const pages = ["overview", "live", "customers", "customer", "limits"] as const;
export type Page = (typeof pages)[number];

export interface Route {
  page: Page;
  query: URLSearchParams;
}

/** parse reads a hash; one that names no page is the overview's. */
export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const page = pages.find((name) => name === path) ?? "overview";
  return { page, query: new URLSearchParams(query) };
}

type Query = { [name: string]: string | readonly string[] | null | undefined };

/** href writes a hash; what is empty is left out. */
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

/** How far the page that is being gone back to was scrolled; 0 for one that is new. */
export let scrolled = 0;

/** follow keeps the route in step with the address bar, and remembers how far each step of the history was scrolled. */
export function follow(): void {
  const positions = new Map<number, number>();
  let count = 0;
  let step = 0;
  history.scrollRestoration = "manual"; // the browser's own comes before the page is drawn
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

/** go moves on; replace leaves no step for the Back button, as suits a search that is being typed. */
export function go(to: string, replace = false): void {
  if (to === location.hash) return;
  if (replace) {
    history.replaceState(history.state, "", to);
    hash.value = to;
  } else {
    location.hash = to;
  }
}
