// What the live page keeps: the newest rows, bounded, however fast they come and however long the page is open. While the
// view is held (paused, or scrolled away from the newest) new rows wait beside it, so that nothing moves under the eyes.

/** A row, and about how much memory it takes, in characters. */
export interface Sized {
  size: number;
}

/** Feed keeps rows, the oldest first. Nothing of it is shown twice, and what was let go unseen is counted. */
export class Feed<Row extends Sized> {
  /** Rows of the view. */
  rows: Row[] = [];
  /** Rows that came while the view was held. */
  waiting: Row[] = [];
  /** Rows that came while it was held and had to go before anybody saw them. */
  lost = 0;

  private readonly room: number;
  private readonly most: number;

  /** room is how many rows are kept, most how large they may be together; the newest is kept whatever its size. */
  constructor(room: number, most: number) {
    this.room = room;
    this.most = most;
  }

  /** add takes rows, the oldest first, and says whether the view changed. */
  add(rows: readonly Row[], held: boolean): boolean {
    if (rows.length === 0) return false;
    if (held) {
      const all = this.waiting.concat(rows);
      this.waiting = this.newest(all);
      this.lost += all.length - this.waiting.length;
      return false;
    }
    this.rows = this.newest(this.rows.concat(rows));
    return true;
  }

  /** newest returns the last rows, as many as there is room for. */
  private newest(rows: Row[]): Row[] {
    let first = rows.length - 1;
    for (let size = rows[first]?.size ?? 0; first > 0 && rows.length - first < this.room; first--) {
      size += rows[first - 1]!.size;
      if (size > this.most) break;
    }
    return rows.slice(Math.max(0, first));
  }

  /** release lets the waiting rows into the view. */
  release(): boolean {
    const rows = this.waiting;
    this.waiting = [];
    return this.add(rows, false);
  }

  clear(): void {
    this.rows = [];
    this.waiting = [];
    this.lost = 0;
  }
}
