// Identifiers that were left out of commands, in words.

import type { LeftOut } from "../api.ts";

/** Seconds since the last one after which a client is taken for mended; the server forgets it then, too. */
const kept = 3600;

/** As many are written out. */
export const most = 3;

/** recent returns those that came lately, the last first. The stream tells only of new ones, so old ones go here. */
export function recent(all: readonly LeftOut[], now: number): LeftOut[] {
  return all.filter((one) => now - one.last <= kept).sort((a, b) => b.last - a.last);
}

/** whatWasLeftOut names the identifier and what came for it. */
export function whatWasLeftOut(one: LeftOut): string {
  if (one.why === "listed") return `${one.identifier} "${one.value ?? ""}"`;
  return one.why === "empty" ? `${one.identifier}, empty` : `${one.identifier}, without a letter or digit`;
}

/** howOften says how many commands that were. */
export function howOften(count: number, exact: (n: number) => string): string {
  return count === 1 ? "once" : count === 2 ? "twice" : `${exact(count)} times`;
}
