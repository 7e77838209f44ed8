// Texts about identifiers that were left out of commands.

import type { LeftOut } from "../api.ts";

/**
 * How many seconds after the last such command a client counts as repaired. The
 * server then forgets it too.
 */
const kept = 3600;

/** How many are listed. */
export const most = 3;

/**
 * recent returns the recent ones, latest first. The stream only reports new
 * ones, so this drops old ones.
 */
export function recent(all: readonly LeftOut[], now: number): LeftOut[] {
  return all.filter((one) => now - one.last <= kept).sort((a, b) => b.last - a.last);
}

/** whatWasLeftOut names the identifier and its value. */
export function whatWasLeftOut(one: LeftOut): string {
  if (one.why === "listed") return `${one.identifier} "${one.value ?? ""}"`;
  return one.why === "empty" ? `${one.identifier}, empty` : `${one.identifier}, without a letter or digit`;
}

/** howOften says how many commands it was in. */
export function howOften(count: number, exact: (n: number) => string): string {
  return count === 1 ? "once" : count === 2 ? "twice" : `${exact(count)} times`;
}
