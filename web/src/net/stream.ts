// The event stream. A page keeps one open, and reopens it where it broke off.

import { signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { Cluster, LeftOut, LiveEvent, Rejected, Stats } from "../api.ts";
import { link, session, visible } from "../state.ts";
import { backoff } from "./backoff.ts";
import { readJson, refusal, send, sleep } from "./client.ts";
import { parse } from "./json.ts";
import { SseParser, type ServerEvent } from "./sse.ts";

export interface Handlers {
  /** size: of the JSON, in characters. */
  event?: (event: LiveEvent, size: number) => void;
  rejected?: (rejected: Rejected) => void;
  leftOut?: (all: LeftOut[]) => void;
  stats?: (stats: Stats) => void;
  cluster?: (cluster: Cluster) => void;
}

/**
 * A stream counts as broken if it is silent for so long: counts come every
 * second.
 */
const silence = 20_000;

/**
 * The wait before it opens, so that a page that is left at once costs no call.
 */
const settle = 250;

/**
 * useStream watches a path while the page is visible. It returns whether the
 * stream is open and, if it was refused, why.
 */
export function useStream(path: string | null, handlers: Handlers) {
  const watcher = useMemo(() => new Watcher(path, handlers), [path]);
  watcher.handlers = handlers;
  const inUse = visible.value && link.value.up && session.value === "in";
  useEffect(() => (inUse ? watcher.run() : undefined), [watcher, inUse]);
  return { open: watcher.open, refused: watcher.refused };
}

class Watcher {
  handlers: Handlers;
  readonly open = signal(false);
  /** The server's reason for a refusal; empty if it refused nothing. */
  readonly refused = signal("");
  private readonly path: string | null;
  /** The id of the last event seen. The next connection continues after it. */
  private lastId = "";
  private least = 2000;
  private attempt = 0;

  constructor(path: string | null, handlers: Handlers) {
    this.path = path;
    this.handlers = handlers;
  }

  run(): () => void {
    const end = new AbortController();
    this.refused.value = "";
    this.loop(end.signal).catch(() => undefined); // waiting has ended
    return () => {
      end.abort();
      this.open.value = false;
    };
  }

  private async loop(end: AbortSignal): Promise<void> {
    if (this.path === null) return;
    await sleep(settle, end);
    for (;;) {
      try {
        await this.watch(this.path, end);
      } catch (error) {
        if (end.aborted) throw error;
      }
      this.open.value = false;
      if (this.refused.value !== "") return;
      await sleep(backoff(this.attempt++, Math.random(), this.least), end);
    }
  }

  private async watch(path: string, end: AbortSignal): Promise<void> {
    const cut = new AbortController();
    const stop = () => cut.abort();
    end.addEventListener("abort", stop, { once: true });
    try {
      const headers: Record<string, string> = this.lastId === "" ? {} : { "Last-Event-ID": this.lastId };
      const answer = await send(path, { headers, signal: cut.signal, cache: "no-store" }, "stream");
      // The request is wrong, and would be refused each time. After a 401, the
      // page shows the sign-in form.
      if (answer.status >= 400 && answer.status < 500) this.refused.value = refusal(answer, await readJson(answer)).message;
      if (!answer.ok || !answer.body) return;
      this.open.value = true;
      await this.read(answer.body, cut);
    } finally {
      end.removeEventListener("abort", stop);
      stop();
    }
  }

  private async read(body: ReadableStream<Uint8Array>, cut: AbortController): Promise<void> {
    const parser = new SseParser();
    const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
    for (;;) {
      const timer = setTimeout(() => cut.abort(), silence);
      const chunk = await reader.read().finally(() => clearTimeout(timer));
      if (chunk.done) return;
      this.attempt = 0;
      for (const event of parser.push(chunk.value)) this.take(event);
      if (parser.retry !== null) this.least = parser.retry;
    }
  }

  private take(event: ServerEvent): void {
    const data = parse(event.data);
    this.lastId = event.id || this.lastId;
    if (event.name === "event") this.handlers.event?.(data as LiveEvent, event.data.length);
    else if (event.name === "rejected") this.handlers.rejected?.(data as Rejected);
    else if (event.name === "leftout") this.handlers.leftOut?.(data as LeftOut[]);
    else if (event.name === "stats") this.handlers.stats?.(data as Stats);
    else if (event.name === "cluster") this.handlers.cluster?.(data as Cluster);
  }
}
