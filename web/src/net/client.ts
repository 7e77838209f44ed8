// Requests to the server. They are paced, and the last answers are kept in
// memory and revalidated by their ETag.

import { session, waitingUntil } from "../state.ts";
import { parse } from "./json.ts";
import { down } from "./link.ts";
import { Pacer, parseLimit, parseRetryAfter, type Urgency } from "./pacer.ts";

/** A refusal, in the server's words or in words that fit its status. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** There was no answer: the link is down, and marked as down. */
export class Unreachable extends Error {}

export const pacer = new Pacer();

/** An earlier answer. */
export interface Kept {
  etag: string | null;
  body: unknown;
  /** When it was last requested, in milliseconds since 1970. */
  at: number;
}

const kept = new Map<string, Kept>();
const mostKept = 60;

/** recall returns the last answer to a GET. */
export function recall(path: string): Kept | undefined {
  return kept.get(path);
}

/**
 * forget drops every answer, because the user has signed out or changed
 * something.
 */
export function forget(): void {
  kept.clear();
}

function keep(path: string, answer: Kept): void {
  kept.delete(path); // keeps the order that of use
  kept.set(path, answer);
  for (const oldest of kept.keys()) {
    if (kept.size <= mostKept) break;
    kept.delete(oldest);
  }
}

/**
 * get returns a body. If nothing has changed, this is the body of the last
 * answer. The part of a path after # is sent in a header field, X-Search: it
 * names customers, and proxies log addresses.
 */
export async function get<T>(path: string, urgency: Urgency, abort: AbortSignal): Promise<T> {
  const last = kept.get(path);
  const [address = "", search] = path.split("#");
  const headers: Record<string, string> = last?.etag ? { "If-None-Match": last.etag } : {};
  if (search) headers["X-Search"] = search;
  const answer = await send(address, { headers, signal: abort, cache: "no-store" }, urgency);
  if (answer.status === 304 && last) {
    keep(path, { ...last, at: Date.now() });
    return last.body as T;
  }
  const body = await readJson(answer);
  if (!answer.ok) throw refusal(answer, body);
  keep(path, { etag: answer.headers.get("ETag"), body, at: Date.now() });
  return body as T;
}

/** post sends a person's decision. */
export async function post(path: string, body: unknown, method = "POST"): Promise<unknown> {
  const init = { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await send(path, method === "DELETE" ? { method } : init, "person");
  const read = await readJson(answer);
  if (!answer.ok) throw refusal(answer, read);
  return read;
}

/** download fetches a file and saves it for the person. */
export async function download(path: string, name: string): Promise<void> {
  const answer = await send(path, {}, "person");
  if (!answer.ok) throw refusal(answer, await readJson(answer));
  const url = URL.createObjectURL(await answer.blob());
  const anchor = Object.assign(document.createElement("a"), { href: url, download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/**
 * send waits for its turn, sends, and tells the pacer the limit in the answer.
 * If a 429 comes all the same, it waits as long as the server asks. It leaves
 * an overloaded server (503) alone for as long as that asks.
 */
export async function send(path: string, init: RequestInit, urgency: Urgency): Promise<Response> {
  for (;;) {
    await turn(urgency, init.signal ?? undefined);
    let answer: Response;
    try {
      answer = await fetch(path, { ...init, credentials: "same-origin" });
    } catch (error) {
      pacer.answered(null, null, performance.now());
      if (init.signal?.aborted) throw error;
      down();
      throw new Unreachable("The server does not answer.");
    }
    const told = answer.status === 429 || answer.status === 503 ? parseRetryAfter(answer.headers.get("Retry-After")) : null;
    const retryAfter = answer.status === 429 ? (told ?? 1000) : told;
    const state = parseLimit(answer.headers);
    if (signingIn(path)) pacer.answered(null, null, performance.now());
    else if (state || retryAfter !== null) pacer.answered(state, retryAfter, performance.now());
    else pacer.free();
    if (answer.status === 429 && !signingIn(path)) continue;
    if (answer.status === 401) session.value = "out";
    return answer;
  }
}

/** Signing in has a limit of its own. The form shows it. */
function signingIn(path: string): boolean {
  return path === "/grid/session";
}

async function turn(urgency: Urgency, abort: AbortSignal | undefined): Promise<void> {
  for (;;) {
    abort?.throwIfAborted();
    const wait = pacer.wait(urgency, performance.now());
    if (wait <= 0) break;
    const told = urgency === "person" && wait > 400;
    if (told) waitingUntil.value = Date.now() + wait;
    try {
      await sleep(wait, abort);
    } finally {
      if (told) waitingUntil.value = 0;
    }
  }
  pacer.sent(performance.now());
}

/** sleep waits, unless it is told to stop. */
export function sleep(ms: number, abort?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(abort?.reason);
    };
    const timer = setTimeout(() => {
      abort?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    abort?.addEventListener("abort", stop, { once: true });
  });
}

export async function readJson(answer: Response): Promise<unknown> {
  try {
    return parse(await answer.text());
  } catch {
    return null;
  }
}

/** The formats in which the server reports errors. */
interface ErrorBody {
  error?: unknown;
  message?: unknown;
  errors?: unknown;
}

export function refusal(answer: Response, body: unknown): Refusal {
  const { error, message, errors } = (body ?? {}) as ErrorBody;
  const first = Array.isArray(errors) ? errors[0] : (errors as { description?: unknown } | undefined)?.description;
  const words = [first, message, error].find((text) => typeof text === "string");
  return new Refusal(answer.status, (words as string | undefined) ?? `The server answered ${answer.status}.`);
}
