// Keys that work everywhere. Single keys can be switched off (WCAG 2.1.4), and
// do nothing while somebody types.

import { signal } from "@preact/signals";
import { href, go, type Page } from "./route.ts";
import { may, session, shortcuts } from "./state.ts";

export const helpOpen = signal(false);

/** The keys, in the order of the help. */
export const keys: readonly (readonly [string, string])[] = [
  ["1 2 3 4 5 6", "Overview, Live, Customers, Limits, Destinations, Catalogue"],
  ["/", "Search or filter"],
  ["j k or ↓ ↑", "Next and previous row of a list"],
  ["Enter", "Open the row"],
  ["Escape", "Close what is open"],
  ["p", "Pause the live list, or go on"],
  ["?", "This help"],
];

const places: readonly Page[] = ["overview", "live", "customers", "limits", "destinations", "catalogue"];

/** typing reports whether a key press belongs to a field. */
export function typing(event: KeyboardEvent): boolean {
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

/** plain reports whether an event is a single key that may act. */
export function plain(event: KeyboardEvent): boolean {
  const held = event.ctrlKey || event.metaKey || event.altKey;
  return !held && shortcuts.value === "on" && !typing(event) && !document.querySelector("dialog[open]");
}

export function listenForKeys(): void {
  addEventListener("keydown", (event) => {
    if (session.value !== "in" || !plain(event)) return;
    const wanted = places[Number(event.key) - 1];
    const place = (wanted === "limits" || wanted === "destinations") && !may("viewer") ? undefined : wanted;
    if (event.defaultPrevented) return; // a list has handled it
    if (event.key === "?") helpOpen.value = true;
    else if (event.key === "/") document.querySelector<HTMLElement>("[data-search]")?.focus();
    else if (place) go(href(place));
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "ArrowDown" && inRows(event)) step(1);
    else if (event.key === "ArrowUp" && inRows(event)) step(-1);
    else return;
    event.preventDefault();
  });
}

/**
 * The rows that j and k go through: rows that are marked as such, and the one
 * reachable row of a long list, which then handles the keys itself.
 */
function rows(): HTMLElement[] {
  return [...document.querySelectorAll<HTMLElement>("[data-row], .virtual [role=row][tabindex='0']")];
}

function inRows(event: KeyboardEvent): boolean {
  return event.target instanceof HTMLElement && event.target.matches("[data-row]");
}

function step(by: number): void {
  const all = rows();
  const at = all.findIndex((row) => row === document.activeElement);
  all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + by))]?.focus();
}
