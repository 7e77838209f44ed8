// Which rows of a long list are in sight, for a list whose rows are all of one height.

export interface Window {
  /** The first row to draw. */
  first: number;
  /** One past the last row to draw. */
  end: number;
}

/** windowOf returns the rows that a list shows at a scroll position, and some on either side so that scrolling shows no gap. */
export function windowOf(scroll: number, height: number, row: number, count: number, spare = 6): Window {
  const first = Math.min(Math.max(0, Math.floor(scroll / row) - spare), count);
  const end = Math.min(count, Math.ceil((Math.max(0, scroll) + height) / row) + spare);
  return { first, end: Math.max(first, end) };
}

/** reveal returns the scroll position, the nearest to the present one, at which a row is whole in sight. */
export function reveal(index: number, scroll: number, height: number, row: number): number {
  const top = index * row;
  if (top < scroll) return top;
  return top + row > scroll + height ? top + row - height : scroll;
}
