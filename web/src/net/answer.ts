// The data of a page: the last answer at once, then a new one, and later ones
// at an interval.

import { type ReadonlySignal, signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { link, session, visible } from "../state.ts";
import { get, recall, Refusal, sleep, Unreachable } from "./client.ts";
import { backoff } from "./backoff.ts";
import type { Urgency } from "./pacer.ts";

export interface Answer<T> {
  /** The newest body; null before the first. */
  data: T | null;
  /** When it was read, in milliseconds since 1970. */
  at: number;
  /** The error, if the last try was refused. */
  error: string | null;
  /** The status of the refusal; 0 without a refusal. */
  status: number;
}

/**
 * A newer answer than this is not requested again, so going back and forth is
 * fast.
 */
const fresh = 2000;

/**
 * useAnswer reads a path, and reads it again after `every` seconds (0: never).
 * again() reads it now.
 */
export function useAnswer<T>(path: string | null, every: number): { answer: ReadonlySignal<Answer<T>>; again: () => void } {
  const reader = useMemo(() => new Reader<T>(path, every), [path, every]);
  const inUse = visible.value && link.value.up && session.value === "in";
  useEffect(() => (inUse ? reader.run() : undefined), [reader, inUse]);
  return { answer: reader.answer, again: reader.again };
}

class Reader<T> {
  readonly answer;
  private readonly path: string | null;
  private readonly every: number;
  private wake: (() => void) | null = null;
  /**
   * A request came while an answer was on its way. That answer may be older
   * than the reason for the request.
   */
  private wanted = false;

  constructor(path: string | null, every: number) {
    this.path = path;
    this.every = every;
    const last = path === null ? undefined : recall(path);
    this.answer = signal<Answer<T>>({ data: (last?.body as T | undefined) ?? null, at: last?.at ?? 0, error: null, status: 0 });
  }

  /** run reads until read tells it to stop. */
  run(): () => void {
    const end = new AbortController();
    this.loop(end.signal).catch(() => undefined); // waiting has ended
    return () => end.abort();
  }

  readonly again = () => {
    this.wanted = true;
    this.wake?.();
  };

  private async loop(end: AbortSignal): Promise<void> {
    if (this.path === null) return;
    let urgency: Urgency = "person";
    let failures = 0;
    if (this.answer.value.error === null && Date.now() - this.answer.value.at < fresh) urgency = await this.pause(this.every, end);
    for (;;) {
      const wait = (await this.read(this.path, urgency, end)) ? this.every : backoff(failures++, Math.random(), 4000) / 1000;
      if (wait === this.every) failures = 0;
      urgency = await this.pause(wait, end);
    }
  }

  /**
   * read reports whether to continue as usual. It does not continue after a
   * refusal that would only come again.
   */
  private async read(path: string, urgency: Urgency, end: AbortSignal): Promise<boolean> {
    try {
      const data = await get<T>(path, urgency, end);
      end.throwIfAborted();
      this.answer.value = { data, at: Date.now(), error: null, status: 0 };
      return true;
    } catch (error) {
      end.throwIfAborted();
      if (error instanceof Unreachable) return false; // the link is down, and this loop is about to end
      const status = error instanceof Refusal ? error.status : 0;
      this.answer.value = { ...this.answer.value, error: error instanceof Error ? error.message : String(error), status };
      return status >= 400 && status < 500;
    }
  }

  /** pause waits, and returns the origin of the next request. */
  private async pause(seconds: number, end: AbortSignal): Promise<Urgency> {
    if (!this.wanted) {
      const asked = new Promise<void>((resolve) => (this.wake = resolve));
      await Promise.race([asked, seconds > 0 ? sleep(seconds * 1000, end) : new Promise<never>(() => undefined)]);
      end.throwIfAborted();
      this.wake = null;
    }
    const byPerson = this.wanted;
    this.wanted = false;
    return byPerson ? "person" : "poll";
  }
}
