// The rows of the live page: the newest ones, up to a limit, however fast they
// come and however long the page is open. While the view is held (paused, or
// scrolled away from the newest), new rows wait, so that nothing moves while
// somebody reads.

/** A row, and about how much memory it takes, in characters. */
export interface Sized {
  size: number;
}

/**
 * Feed holds rows, oldest first. It shows no row twice, and counts the rows
 * that were dropped unseen.
 */
export class Feed<Row extends Sized> {
  /** The rows in the view. */
  rows: Row[] = [];
  /** The rows that came while the view was held. */
  waiting: Row[] = [];
  /**
   * The number of rows that came while the view was held and were dropped
   * before anybody saw them.
   */
  lost = 0;

  private readonly room: number;
  private readonly most: number;

  /**
   * room limits the number of rows, most their total size. The newest row is
   * kept whatever its size.
   */
  constructor(room: number, most: number) {
    this.room = room;
    this.most = most;
  }

  /** add adds rows, oldest first, and reports whether the view has changed. */
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

  /** newest returns as many of the last rows as there is room for. */
  private newest(rows: Row[]): Row[] {
    let first = rows.length - 1;
    for (let size = rows[first]?.size ?? 0; first > 0 && rows.length - first < this.room; first--) {
      size += rows[first - 1]!.size;
      if (size > this.most) break;
    }
    return rows.slice(Math.max(0, first));
  }

  /** release moves the waiting rows into the view. */
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
