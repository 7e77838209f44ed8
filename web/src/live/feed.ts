// What the live page keeps: the newest rows, bounded, however fast they come and however long the page is open. While the
// view is held (paused, or scrolled away from the newest) new rows wait beside it, so that nothing moves under the eyes.

/** Feed keeps rows, the oldest first. Nothing of it is shown twice, and what was let go is counted. */
export class Feed<Row> {
  /** Rows of the view. */
  rows: Row[] = [];
  /** Rows that came while the view was held. */
  waiting: Row[] = [];
  /** Rows that came while it was held and had to go before anybody saw them. */
  lost = 0;

  private readonly room: number;

  constructor(room: number) {
    this.room = room;
  }

  /** add takes rows, the oldest first, and says whether the view changed. */
  add(rows: readonly Row[], held: boolean): boolean {
    if (rows.length === 0) return false;
    if (held) {
      this.waiting = this.waiting.concat(rows);
      const over = this.waiting.length - this.room;
      if (over > 0) {
        this.waiting = this.waiting.slice(over);
        this.lost += over;
      }
      return false;
    }
    this.rows = this.rows.concat(rows).slice(-this.room);
    return true;
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
