import type { Outcome, Series, Stats } from "../api.ts";

export const outcomes: readonly Outcome[] = ["accepted", "refused", "limited", "failed"];

/**
 * extend adds the counts of one second to a series. The series moves on when
 * its last step is over. The result is a new series of the same length; if the
 * second is too old, the series stays as it is. A step that was running when
 * the series was read, at `since`, remains unknown: half a count would be
 * wrong.
 */
export function extend(series: Series, stats: Stats, since: number): Series {
  const length = series.accepted.length;
  const index = Math.floor((stats.now - series.start) / series.step);
  if (index < 0 || length === 0) return series;
  const shift = Math.max(0, index - length + 1);
  const next = { ...series, start: series.start + shift * series.step };
  const whole = series.start + index * series.step >= since - 1;
  for (const outcome of outcomes) {
    const values = series[outcome].slice(Math.min(shift, length));
    while (values.length < length) values.push(0);
    const at = index - shift;
    values[at] = whole ? (values[at] ?? 0) + stats[outcome] : null;
    next[outcome] = values;
  }
  return next;
}

/**
 * finished drops the steps that are not over yet: a line that ends in half a
 * step seems to fall.
 */
export function finished(series: Series, now: number): Series {
  const over = Math.max(0, Math.min(series.accepted.length, Math.floor((now - series.start) / series.step)));
  if (over === series.accepted.length) return series;
  const next = { ...series };
  for (const outcome of outcomes) next[outcome] = series[outcome].slice(0, over);
  return next;
}

/** A row of the table that repeats a chart in words and figures. */
export interface Sum {
  start: number;
  values: (number | null)[];
}

/**
 * sums adds up every `size` steps of several lines, or combines them in another
 * way. It returns null for steps of which a line knows nothing.
 */
export function sums(start: number, step: number, lines: readonly (readonly (number | null)[])[], size: number, combine = total): Sum[] {
  const length = lines[0]?.length ?? 0;
  const rows: Sum[] = [];
  for (let from = 0; from < length; from += size) {
    rows.push({ start: start + from * step, values: lines.map((line) => combine(line.slice(from, from + size))) });
  }
  return rows;
}

/** total adds up the known values. It returns null if no value is known. */
export function total(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>((sum, value) => (value === null ? sum : (sum ?? 0) + value), null);
}

/** most returns the highest known value, or null if no value is known. */
export function most(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>((most, value) => (value === null ? most : Math.max(most ?? 0, value)), null);
}

/**
 * unknown returns how many leading steps to leave out: those before the server
 * started, except for enough steps to show a trend.
 */
export function unknown(lines: readonly (readonly (number | null)[])[], least = 30): number {
  const length = lines[0]?.length ?? 0;
  const firsts = lines.map((line) => line.findIndex((value) => value !== null)).filter((index) => index >= 0);
  return Math.max(0, Math.min(length - least, Math.min(length, ...firsts) - 1));
}
