// Trying a limit: the values that the sliders offer, and what the answers mean.

import type { Part, TriedLimit } from "../api.ts";
import { span } from "../format.ts";

/** A limit to try. */
export interface Wanted {
  policy: string;
  limit: number;
  /** Seconds. */
  window: number;
}

/** The highest limit that a policy can have. */
export const mostLimit = 4_194_303;

/** The longest window, in seconds. */
export const longestWindow = 86_400;

/** The limits that a slider stops at: those that a person would write. */
export const limits: readonly number[] = stops();

function stops(): number[] {
  const all: number[] = [];
  for (let tens = 1; tens <= mostLimit; tens *= 10) {
    for (const tenths of [10, 12, 15, 20, 25, 30, 40, 50, 60, 80]) {
      const limit = (tens * tenths) / 10;
      if (Number.isInteger(limit) && limit <= mostLimit) all.push(limit);
    }
  }
  return all;
}

/** The windows that a slider stops at, in seconds. */
export const windows: readonly number[] = [
  1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1200, 1800, 2700, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
];

/**
 * nearest returns the index of the stop that is nearest to a value, as ratios
 * go.
 */
export function nearest(all: readonly number[], value: number): number {
  const far = (stop: number) => Math.abs(Math.log(stop / Math.max(value, 1)));
  return all.reduce((best, stop, index) => (far(stop) < far(all[best]!) ? index : best), 0);
}

/**
 * whole reads the text of a number field. It returns null unless the text is a
 * whole number from 1 to most.
 */
export function whole(text: string, most: number): number | null {
  if (!/^\d{1,9}$/.test(text.trim())) return null;
  const n = Number(text);
  return n >= 1 && n <= most ? n : null;
}

/** share reads a percentage that is more than 0. */
export function share(text: string): number | null {
  if (!/^\d{1,3}(\.\d{1,6})?$/.test(text.trim())) return null;
  const n = Number(text);
  return n > 0 && n <= 100 ? n : null;
}

export function simulatePath({ policy, limit, window }: Wanted): string {
  return `/grid/simulate?${new URLSearchParams({ policy, limit: String(limit), window: String(window) })}`;
}

export function suggestPath({ policy, window }: Wanted, percent: number): string {
  return `/grid/suggest?${new URLSearchParams({ policy, window: String(window), share: String(percent) })}`;
}

/** seconds returns a time in RFC 3339 as Unix seconds. */
export function seconds(at: string): number {
  return Date.parse(at) / 1000;
}

/** covered says how much of the record an answer is about. */
export function covered({ from, to, cut }: Part): string {
  if (from === undefined || to === undefined) return "";
  const length = span(seconds(to) - seconds(from));
  return cut ? `the newest ${length} of the record` : `the whole record, ${length}`;
}

export interface Timeline {
  /** Unix seconds. */
  start: number;
  step: number;
  refused: (number | null)[];
  was: (number | null)[];
}

/**
 * timeline returns the refusals over time. Nothing is known of a step within a
 * gap of the record.
 */
export function timeline({ steps, record }: TriedLimit): Timeline {
  const start = seconds(steps.start);
  const gaps = record.gaps.map(({ from, to }) => ({ from: seconds(from), to: seconds(to) }));
  const known = (n: number, index: number) => {
    const from = start + index * steps.step;
    return gaps.some((gap) => gap.from <= from && from + steps.step <= gap.to) ? null : n;
  };
  return { start, step: steps.step, refused: steps.refused.map(known), was: steps.was_refused.map(known) };
}
