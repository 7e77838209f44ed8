// The lag of each destination, as far as this page has seen it.

import type { Destinations } from "../api.ts";

/**
 * Lags keeps the lag of each destination in steps of time. A step during which
 * nobody looked is unknown.
 */
export class Lags {
  private readonly step: number;
  private readonly most: number;
  private readonly seen = new Map<string, Map<number, number>>();
  private first = Infinity;

  /** step is in seconds; most is the number of steps that are kept. */
  constructor(step: number, most: number) {
    this.step = step;
    this.most = most;
  }

  /** note adds an answer. Destinations that are gone are forgotten. */
  note({ now, destinations }: Destinations): void {
    const at = Math.floor(now / this.step);
    this.first = Math.max(Math.min(this.first, at), at - this.most + 1);
    for (const name of this.seen.keys()) {
      if (!destinations.some((one) => one.name === name)) this.seen.delete(name);
    }
    for (const { name, lag_events } of destinations) {
      const steps = this.seen.get(name) ?? new Map<number, number>();
      this.seen.set(name, steps.set(at, lag_events));
      for (const old of steps.keys()) if (old < this.first) steps.delete(old);
    }
  }

  /** of returns the lag of a destination, from the first step until now. */
  of(name: string, now: number): { start: number; values: (number | null)[] } {
    const last = Math.floor(now / this.step);
    const first = Math.min(this.first, last);
    const steps = this.seen.get(name);
    return { start: first * this.step, values: Array.from({ length: last - first + 1 }, (_, index) => steps?.get(first + index) ?? null) };
  }
}
