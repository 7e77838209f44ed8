// The server limits the dashboard's calls from one address (by default 15 in 30
// s, and every tab counts). The pacer reads what is left from each answer, and
// says how long the next request has to wait. So a person who clicks fast is
// never refused.

/**
 * The origin of a request: a person who waits for it, an event stream that
 * reconnects, or a page that refreshes itself. The last two leave some calls
 * for the person.
 */
export type Urgency = "person" | "stream" | "poll";

/**
 * The limit in an answer, as in `RateLimit-Policy: "grid";q=15;w=30` and
 * `RateLimit: "grid";r=3;t=12`.
 */
export interface LimitState {
  limit: number;
  /** Seconds. */
  window: number;
  left: number;
  /** Seconds until the whole limit is available again. */
  reset: number;
}

/**
 * parseLimit reads the fields of an answer. It returns null if they are
 * missing.
 */
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

/**
 * parseRetryAfter returns milliseconds from the seconds that this server sends,
 * or null if the field is missing.
 */
export function parseRetryAfter(value: string | null): number | null {
  return value !== null && /^\d+$/.test(value.trim()) ? Number(value) * 1000 : null;
}

/**
 * Pacer counts as the server does; requests under way count as used. Times are
 * milliseconds of a monotonic clock.
 */
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

  /**
   * wait returns how many milliseconds a request has to wait. 0 means that it
   * may go now.
   */
  wait(urgency: Urgency, now: number): number {
    this.renew(now);
    if (now < this.blockedUntil) return this.blockedUntil - now;
    const reset = this.resetAt === Infinity ? this.window * 1000 : this.resetAt - now;
    if (this.left <= this.reserve(urgency)) return reset;
    // The first two thirds of a window go at once. The rest is spread out, so
    // that a person has many short waits instead of one long one.
    if (this.left > this.limit / 3) return 0;
    return Math.max(0, this.lastSent + reset / (this.left + 1) - now);
  }

  /** sent notes that a request was sent. */
  sent(now: number): void {
    this.renew(now);
    if (this.resetAt === Infinity) this.resetAt = now + this.window * 1000; // until an answer gives a better value
    this.left--;
    this.flying++;
    this.lastSent = now;
  }

  /**
   * answered notes the end of a request, with the limit in its answer, or null
   * if there was no answer.
   */
  answered(state: LimitState | null, retryAfter: number | null, now: number): void {
    this.flying = Math.max(0, this.flying - 1);
    if (state) {
      this.limit = state.limit;
      this.window = state.window;
      // The answer may already count requests that are still under way. It is
      // safer to assume that it does not.
      this.left = state.left - this.flying;
      this.resetAt = now + state.reset * 1000;
    }
    if (retryAfter !== null) this.blockedUntil = Math.max(this.blockedUntil, now + retryAfter);
  }

  /**
   * free notes the end of a request whose answer mentions no limit: no limit is
   * in force.
   */
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
