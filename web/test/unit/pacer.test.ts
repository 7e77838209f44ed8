import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff } from "../../src/net/backoff.ts";
import { Pacer, parseLimit, parseRetryAfter, type Urgency } from "../../src/net/pacer.ts";

const fields = (policy: string, state: string) =>
  new Headers({ "RateLimit-Policy": policy, RateLimit: state });

test("the fields of an answer are read", () => {
  assert.deepEqual(parseLimit(fields('"grid";q=15;w=30', '"grid";r=3;t=12')), { limit: 15, window: 30, left: 3, reset: 12 });
  assert.equal(parseLimit(new Headers()), null);
  assert.equal(parseLimit(fields('"grid";q=15;w=30', '"grid"')), null);
});

test("Retry-After is whole seconds", () => {
  assert.equal(parseRetryAfter("12"), 12_000);
  for (const other of [null, "", "soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT"]) assert.equal(parseRetryAfter(other), null);
});

/**
 * A server as in rate-limits.md: a window of fixed length that starts with the
 * first call.
 */
class FixedWindow {
  refused = 0;
  private begun = -Infinity;
  private calls = 0;

  answer(now: number, limit: number, window: number) {
    if (now >= this.begun + window * 1000) {
      this.begun = now;
      this.calls = 0;
    }
    this.calls++;
    const reset = Math.ceil((this.begun + window * 1000 - now) / 1000);
    if (this.calls > limit) this.refused++;
    return { state: { limit, window, left: Math.max(0, limit - this.calls), reset }, retryAfter: this.calls > limit ? reset * 1000 : null };
  }
}

/**
 * clicks plays a person who wants something every `gap` milliseconds. A new
 * click replaces a waiting one.
 */
function clicks(gap: number, latency: number, urgency: Urgency = "person") {
  const pacer = new Pacer();
  const server = new FixedWindow();
  const answers: { at: number; take: () => void }[] = [];
  let sent = 0;
  let longest = 0;
  for (let now = 0; now < 300_000; now += gap) {
    while (answers[0] && answers[0].at <= now) answers.shift()!.take();
    const wait = pacer.wait(urgency, now);
    longest = Math.max(longest, wait);
    if (wait > 0) continue;
    pacer.sent(now);
    sent++;
    const { state, retryAfter } = server.answer(now + latency / 2, 15, 30);
    const at = now + latency;
    answers.push({ at, take: () => pacer.answered(state, retryAfter, at) });
  }
  return { sent, refused: server.refused, longest };
}

test("a person who clicks fast is never refused, and uses most of what there is", () => {
  for (const gap of [20, 90, 400, 1700]) {
    for (const latency of [2, 150, 2500]) {
      const { sent, refused, longest } = clicks(gap, latency);
      const most = Math.min(300_000 / gap, 150);
      assert.equal(refused, 0, `gap ${gap}, latency ${latency}`);
      assert.ok(sent >= 0.7 * most, `gap ${gap}, latency ${latency}: ${sent} of ${most}`);
      assert.ok(longest <= 31_000, `gap ${gap}, latency ${latency}: waits ${longest} ms`);
    }
  }
});

test("what nobody waits for leaves a third to the person", () => {
  const pacer = new Pacer();
  pacer.sent(0);
  pacer.answered({ limit: 15, window: 30, left: 5, reset: 20 }, null, 10);
  assert.equal(pacer.wait("poll", 10), 20_000);
  assert.ok(pacer.wait("person", 10) < 5000);
  assert.equal(pacer.wait("poll", 20_010), 0);
});

test("after a refusal nothing goes before its time", () => {
  const pacer = new Pacer();
  pacer.sent(0);
  pacer.answered({ limit: 15, window: 30, left: 0, reset: 9 }, 9000, 100);
  for (const urgency of ["person", "stream", "poll"] as const) {
    assert.equal(pacer.wait(urgency, 100), 9000);
    assert.equal(pacer.wait(urgency, 9100), 0);
  }
});

test("a server that does not answer is asked no more often than its limit, but goes on being asked", () => {
  const pacer = new Pacer();
  let sent = 0;
  for (let now = 0; now < 90_000; now += 100) {
    if (pacer.wait("person", now) > 0) continue;
    pacer.sent(now);
    pacer.answered(null, null, now + 50);
    sent++;
  }
  assert.ok(sent > 35 && sent <= 45, `${sent} in three windows of 15`);
});

test("where no limit is in force nothing waits", () => {
  const pacer = new Pacer();
  for (let now = 0; now < 10_000; now += 10) {
    assert.equal(pacer.wait("poll", now), 0);
    pacer.sent(now);
    pacer.free();
  }
});

test("a limit of one call leaves that call to whoever comes first", () => {
  const pacer = new Pacer(1, 30);
  for (const urgency of ["person", "stream", "poll"] as const) assert.equal(pacer.wait(urgency, 0), 0);
  pacer.sent(0);
  for (const urgency of ["person", "stream", "poll"] as const) assert.equal(pacer.wait(urgency, 1000), 29_000);
});

test("waits grow up to a bound, and are drawn by chance", () => {
  assert.equal(backoff(0, 0), 500);
  assert.equal(backoff(0, 1), 1000);
  assert.equal(backoff(3, 0.5), 6000);
  assert.equal(backoff(99, 1), 30_000);
});
