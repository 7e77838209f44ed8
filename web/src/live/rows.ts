// Collects rows from the stream, so that the page is drawn only a few times a
// second, however much comes.

import { signal } from "@preact/signals";
import type { LiveEvent, Rejected } from "../api.ts";
import { Feed, type Sized } from "./feed.ts";

export type LiveRow = Sized &
  ({ kind: "event"; n: number; event: LiveEvent } | { kind: "rejected"; n: number; rejected: Rejected } | { kind: "gap"; n: number; at: number });

/**
 * How many rows are kept, and how many wait while the view is held. Fewer, if
 * they are large: one event may have 800 KB.
 */
export const room = 5000;
const most = 50e6;

/**
 * Milliseconds between two drawings, and between drawings that replace all
 * visible rows: nobody can read those, but somebody may want to scroll.
 */
const pace = 120;
const floodPace = 300;
const flood = 40;

/**
 * Rows is the feed of a live page. Everything on the page depends on `version`.
 */
export class Rows {
  readonly feed = new Feed<LiveRow>(room, most);
  readonly version = signal(0);
  /** Paused by the person, or scrolled away from the newest. */
  readonly paused = signal(false);
  readonly away = signal(false);
  private arrived: LiveRow[] = [];
  private n = 0;
  private drawnAt = 0;
  private frame = 0;

  event(event: LiveEvent, size: number): void {
    this.push({ kind: "event", n: this.n++, event, size });
  }

  rejected(rejected: Rejected): void {
    this.push({ kind: "rejected", n: this.n++, rejected, size: 1000 });
  }

  /** gap notes that the stream was interrupted and continues. */
  gap(): void {
    this.push({ kind: "gap", n: this.n++, at: Date.now() / 1000, size: 0 });
  }

  /** newest returns the rows in the view, newest first. */
  newest(): LiveRow[] {
    return this.feed.rows.toReversed();
  }

  /** hold stops the view, or lets it move again. */
  hold(change: { paused?: boolean; away?: boolean }): void {
    if (change.paused !== undefined) this.paused.value = change.paused;
    if (change.away !== undefined) this.away.value = change.away;
    if (!this.held() && this.feed.release()) this.version.value++;
  }

  clear(): void {
    this.arrived = [];
    this.feed.clear();
    this.version.value++;
  }

  close(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  private held(): boolean {
    return this.paused.value || this.away.value;
  }

  private push(row: LiveRow): void {
    this.arrived.push(row);
    if (this.arrived.length > room) this.arrived.splice(0, this.arrived.length - room);
    this.frame ||= requestAnimationFrame(this.draw);
  }

  private readonly draw = (time: number): void => {
    if (time - this.drawnAt < (this.arrived.length > flood ? floodPace : pace)) {
      this.frame = requestAnimationFrame(this.draw);
      return;
    }
    this.frame = 0;
    this.drawnAt = time;
    this.feed.add(this.arrived, this.held());
    this.arrived = [];
    this.version.value++;
  };
}
