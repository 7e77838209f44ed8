// Asking for one of many answers while a person still chooses. Only the last
// choice matters: what it supersedes is not sent, or aborted.

import { type ReadonlySignal, signal } from "@preact/signals";

export interface Asked<T> {
  /** The newest answer; null before the first. */
  data: T | null;
  /** The request that it answers. */
  path: string;
  /** A newer answer is on its way. */
  busy: boolean;
  /** The error, if the last request failed. */
  error: string | null;
}

export class Asker<T> {
  readonly answer: ReadonlySignal<Asked<T>>;
  private readonly state = signal<Asked<T>>({ data: null, path: "", busy: false, error: null });
  private readonly ask: (path: string, abort: AbortSignal) => Promise<T>;
  private readonly pause: number;
  private wanted: string | null = null;
  private running = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * pause is how long, in milliseconds, a choice has to last before it is asked
   * for.
   */
  constructor(ask: (path: string, abort: AbortSignal) => Promise<T>, pause: number) {
    this.answer = this.state;
    this.ask = ask;
    this.pause = pause;
  }

  /**
   * want asks for a path, unless its answer is there or on its way. null asks
   * for nothing. The last answer stays until the next one comes.
   */
  want(path: string | null): void {
    if (path === this.wanted) return;
    this.wanted = path;
    this.stop();
    const { path: has, data, error } = this.state.peek();
    const there = path === null || (path === has && data !== null && error === null);
    this.state.value = { ...this.state.peek(), busy: !there, error: there ? error : null };
    if (there) return;
    this.timer = setTimeout(() => void this.send(path), data === null ? 0 : this.pause);
  }

  /** again repeats the last question. */
  again(): void {
    const path = this.wanted;
    this.wanted = null;
    this.state.value = { ...this.state.peek(), path: "" };
    this.want(path);
  }

  /** stop aborts the question under way, and sends no more. */
  stop(): void {
    clearTimeout(this.timer);
    this.running.abort();
    this.running = new AbortController();
  }

  private async send(path: string): Promise<void> {
    const { signal: abort } = this.running;
    try {
      const data = await this.ask(path, abort);
      if (!abort.aborted) this.state.value = { data, path, busy: false, error: null };
    } catch (reason) {
      if (abort.aborted) return;
      const error = reason instanceof Error ? reason.message : String(reason);
      this.state.value = { ...this.state.peek(), busy: false, error };
    }
  }
}
