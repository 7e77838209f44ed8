// What a page shows: the last answer at once, then the new one, and again every so often.

import { type ReadonlySignal, signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { link, session, visible } from "../state.ts";
import { get, recall, Refusal, sleep, Unreachable } from "./client.ts";
import { backoff } from "./backoff.ts";
import type { Urgency } from "./pacer.ts";

export interface Answer<T> {
  /** The newest body that is known; null while there is none. */
  data: T | null;
  /** When it was read, milliseconds since 1970. */
  at: number;
  /** What is wrong, if the last try was refused. */
  error: string | null;
  /** The status of the refusal; 0 if there is none. */
  status: number;
}

/** Younger than this, an answer is not asked for again: who clicks to and fro waits for nothing. */
const fresh = 2000;

/** useAnswer reads a path; every: seconds until it is read again, 0: never. again() reads it now. */
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
  /** Asked for while an answer was on its way, which may be older than what made somebody ask. */
  private wanted = false;

  constructor(path: string | null, every: number) {
    this.path = path;
    this.every = every;
    const last = path === null ? undefined : recall(path);
    this.answer = signal<Answer<T>>({ data: (last?.body as T | undefined) ?? null, at: last?.at ?? 0, error: null, status: 0 });
  }

  /** run reads until it is told to stop by what it returns. */
  run(): () => void {
    const end = new AbortController();
    this.loop(end.signal).catch(() => undefined); // the end of waiting
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

  /** read says whether it is worth going on as usual: a refusal that would only come again is. */
  private async read(path: string, urgency: Urgency, end: AbortSignal): Promise<boolean> {
    try {
      const data = await get<T>(path, urgency, end);
      end.throwIfAborted();
      this.answer.value = { data, at: Date.now(), error: null, status: 0 };
      return true;
    } catch (error) {
      end.throwIfAborted();
      if (error instanceof Unreachable) return false; // the link is down, and this loop about to be ended
      const status = error instanceof Refusal ? error.status : 0;
      this.answer.value = { ...this.answer.value, error: error instanceof Error ? error.message : String(error), status };
      return status >= 400 && status < 500;
    }
  }

  /** pause waits, and says on whose account the next request is made. */
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
