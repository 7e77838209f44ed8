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

/** follow keeps the route in step with the address bar. */
export function follow(): void {
  addEventListener("hashchange", () => (hash.value = location.hash));
}

/** go moves on; replace leaves no step for the Back button, as suits a search that is being typed. */
export function go(to: string, replace = false): void {
  if (to === location.hash) return;
  if (replace) {
    history.replaceState(null, "", to);
    hash.value = to;
  } else {
    location.hash = to;
  }
}
