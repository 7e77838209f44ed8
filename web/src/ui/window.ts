// Which rows of a long list are visible, if all rows have the same height.

export interface Window {
  /** The first row to draw. */
  first: number;
  /** The row after the last one to draw. */
  end: number;
}

/**
 * windowOf returns the rows that are visible at a scroll position, and some
 * more on either side, so that scrolling shows no gap.
 */
export function windowOf(scroll: number, height: number, row: number, count: number, spare = 6): Window {
  const first = Math.min(Math.max(0, Math.floor(scroll / row) - spare), count);
  const end = Math.min(count, Math.ceil((Math.max(0, scroll) + height) / row) + spare);
  return { first, end: Math.max(first, end) };
}

/**
 * reveal returns the nearest scroll position at which a row is completely
 * visible.
 */
export function reveal(index: number, scroll: number, height: number, row: number): number {
  const top = index * row;
  if (top < scroll) return top;
  return top + row > scroll + height ? top + row - height : scroll;
}
