// The server answers the dashboard of one address only so often (15 calls in 30 s by default, and every tab counts). The
// pacer reads what is left from each answer and says how long the next request has to wait, so that a person who clicks
// fast is never refused.

/**
 * Who wants a request: a person who waits for it, the event stream that is to be opened again, or a page that refreshes
 * itself. The latter two leave something for the person.
 */
export type Urgency = "person" | "stream" | "poll";

/** What an answer said about the limit, as in `RateLimit-Policy: "grid";q=15;w=30` and `RateLimit: "grid";r=3;t=12`. */
export interface LimitState {
  limit: number;
  /** Seconds. */
  window: number;
  left: number;
  /** Seconds until the limit is whole again. */
  reset: number;
}

/** parseLimit reads the fields of an answer; null if they are not there. */
export function parseLimit(headers: { get(name: string): string | null }): LimitState | null {
  const parameter = (field: string, name: string) => {
    const found = new RegExp(`;\\s*${name}=(\\d+)`).exec(headers.get(field) ?? "");
    return found ? Number(found[1]) : NaN;
  };
  const state = {
    limit: parameter("RateLimit-Policy", "q"),
    window: parameter("RateLimit-Policy", "w"),
    left: parameter("RateLimit", "r"),
    reset: parameter("RateLimit", "t"),
  };
  return Object.values(state).some(Number.isNaN) ? null : state;
}

/** parseRetryAfter returns milliseconds, for seconds as this server sends them; null if there are none. */
export function parseRetryAfter(value: string | null): number | null {
  return value !== null && /^\d+$/.test(value.trim()) ? Number(value) * 1000 : null;
}

/** Pacer counts as the server does, with what is under way taken as spent. Times are milliseconds of a steady clock. */
export class Pacer {
  limit: number;
  window: number;
  private left: number;
  private resetAt = Infinity;
  private blockedUntil = -Infinity;
  private lastSent = -Infinity;
  private flying = 0;

  constructor(limit = 15, window = 30) {
    this.limit = limit;
    this.window = window;
    this.left = limit;
  }

  /** wait returns for how many milliseconds a request has to wait; 0 means that it may go now. */
  wait(urgency: Urgency, now: number): number {
    this.renew(now);
    if (now < this.blockedUntil) return this.blockedUntil - now;
    const reset = this.resetAt === Infinity ? this.window * 1000 : this.resetAt - now;
    if (this.left <= this.reserve(urgency)) return reset;
    // The first two thirds of a window go at once; the rest is spread, so that a person waits often and little rather than
    // once and long.
    if (this.left > this.limit / 3) return 0;
    return Math.max(0, this.lastSent + reset / (this.left + 1) - now);
  }

  /** sent notes that a request left. */
  sent(now: number): void {
    this.renew(now);
    if (this.resetAt === Infinity) this.resetAt = now + this.window * 1000; // as long as no answer says it better
    this.left--;
    this.flying++;
    this.lastSent = now;
  }

  /** answered notes the end of a request: what its answer said, or null where there was none. */
  answered(state: LimitState | null, retryAfter: number | null, now: number): void {
    this.flying = Math.max(0, this.flying - 1);
    if (state) {
      this.limit = state.limit;
      this.window = state.window;
      // Those that are under way may be counted in the answer already; believing that they are not errs on the safe side.
      this.left = state.left - this.flying;
      this.resetAt = now + state.reset * 1000;
    }
    if (retryAfter !== null) this.blockedUntil = Math.max(this.blockedUntil, now + retryAfter);
  }

  /** free notes the end of a request whose answer told of no limit: there is none in force. */
  free(): void {
    this.flying = Math.max(0, this.flying - 1);
    this.left = this.limit;
  }

  private reserve(urgency: Urgency): number {
    if (urgency === "person") return 0;
    return Math.min(this.limit - 1, urgency === "stream" ? 1 : Math.ceil(this.limit / 3));
  }

  private renew(now: number): void {
    if (now < this.resetAt) return;
    this.left = this.limit - this.flying;
    this.resetAt = Infinity;
  }
}
