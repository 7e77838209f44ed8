// A long list. Only the visible rows are in the document. All rows have the
// same height, and each has a key.

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { plain } from "../keys.ts";
import { reveal, windowOf } from "./window.ts";

export interface VirtualProps<Row> {
  label: string;
  /**
   * The names of the columns, for screen readers and, if the list has a head,
   * for everybody.
   */
  columns: readonly string[];
  rows: readonly Row[];
  rowHeight: number;
  keyOf: (row: Row) => string | number;
  /** Returns the cells of a row: gridcells. */
  cells: (row: Row) => ComponentChildren;
  classOf: (row: Row) => string;
  open: (row: Row) => void;
  /** The key of the open row. */
  current: string | number | null;
  /** Called when the list is scrolled away from its beginning, and back. */
  moved: (away: boolean) => void;
}

export function VirtualList<Row>(props: VirtualProps<Row>) {
  const box = useRef<HTMLDivElement>(null);
  const scroll = useSignal(0);
  const height = useSignal(600);
  const active = useRef<string | number | null>(null);
  const { rows, rowHeight, keyOf } = props;
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => (height.value = element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (rows.length * rowHeight < scroll.value) scroll.value = box.current?.scrollTop ?? 0;
  }, [rows, rowHeight]);

  const onScroll = () => {
    scroll.value = box.current?.scrollTop ?? 0;
    props.moved(scroll.value > rowHeight / 2);
  };
  const focusRow = (index: number) => {
    const row = rows[index];
    if (row === undefined || !box.current) return;
    active.current = keyOf(row);
    box.current.scrollTop = reveal(index, box.current.scrollTop, box.current.clientHeight, rowHeight);
    onScroll();
    // In the next frame, the row is in the document.
    requestAnimationFrame(() => box.current?.querySelector<HTMLElement>(`[aria-rowindex="${index + 2}"]`)?.focus({ preventScroll: true }));
  };
  const onKey = (event: KeyboardEvent) => {
    const at = rows.findIndex((row) => keyOf(row) === active.current);
    const to = target(event, at, rows.length);
    if (to === null) return;
    event.preventDefault();
    if (to >= 0) focusRow(to);
    else if (rows[at] !== undefined) props.open(rows[at]);
  };

  const { first, end } = windowOf(scroll.value, height.value, rowHeight, rows.length);
  const reachable = rows.findIndex((row) => keyOf(row) === active.current);
  const stop = reachable >= first && reachable < end ? reachable : first;
  return (
    <div class="virtual" role="grid" aria-label={props.label} aria-rowcount={rows.length + 1} aria-colcount={props.columns.length} onKeyDown={onKey}>
      <div role="rowgroup" class="heads">
        <div role="row" aria-rowindex={1} class="head">
          {props.columns.map((name) => (
            <span key={name} role="columnheader">
              {name}
            </span>
          ))}
        </div>
      </div>
      <div role="rowgroup" class="scroll" ref={box} onScroll={onScroll}>
        <div class="length" role="presentation" style={{ height: `${rows.length * rowHeight}px` }}>
          <div class="shown" role="presentation" style={{ transform: `translateY(${first * rowHeight}px)` }}>
            {rows.slice(first, end).map((row, at) => (
              <div
                key={keyOf(row)}
                role="row"
                aria-rowindex={first + at + 2}
                aria-selected={props.current === keyOf(row)}
                tabIndex={first + at === stop ? 0 : -1}
                class={`row ${props.classOf(row)}`}
                style={{ height: `${rowHeight}px` }}
                onClick={() => props.open(row)}
                onFocus={() => (active.current = keyOf(row))}
              >
                {props.cells(row)}
              </div>
            ))}
          </div>
        </div>
      </div>
    </div>
  );
}

/**
 * target returns the row that a key leads to, -1 to open the present one, or
 * null for a key without a meaning here.
 */
function target(event: KeyboardEvent, at: number, count: number): number | null {
  const last = count - 1;
  const single = plain(event);
  switch (event.key) {
    case "ArrowDown":
      return Math.min(last, at + 1);
    case "ArrowUp":
      return Math.max(0, at - 1);
    case "Home":
      return 0;
    case "End":
      return last;
    case "PageDown":
      return Math.min(last, at + 10);
    case "PageUp":
      return Math.max(0, at - 10);
    case "Enter":
      return event.target instanceof HTMLAnchorElement ? null : -1;
    case "j":
      return single ? Math.min(last, at + 1) : null;
    case "k":
      return single ? Math.max(0, at - 1) : null;
    default:
      return null;
  }
}
