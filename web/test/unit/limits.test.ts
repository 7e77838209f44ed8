import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { TriedLimit } from "../../src/api.ts";
import { Asker } from "../../src/limits/asker.ts";
import { covered, limits, longestWindow, mostLimit, nearest, share, simulatePath, suggestPath, timeline, whole, windows } from "../../src/limits/model.ts";

test("sliders stop at values that a person would write", () => {
  assert.deepEqual(limits.slice(0, 12), [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25]);
  assert.equal(limits.at(-1), 4_000_000);
  for (const all of [limits, windows]) assert.ok(all.every((stop, index) => index === 0 || stop > all[index - 1]!), all.join());
  assert.equal(windows.at(-1), longestWindow);
});

test("a value between two stops shows at the nearest, as ratios go", () => {
  for (const stop of limits) assert.equal(limits[nearest(limits, stop)], stop);
  assert.equal(limits[nearest(limits, 6900)], 6000); // 6900 is less far from 6000 than 8000 is from it
  assert.equal(limits[nearest(limits, 7000)], 8000);
  assert.equal(limits[nearest(limits, mostLimit)], 4_000_000);
  assert.equal(limits[nearest(limits, 0)], 1);
  assert.equal(windows[nearest(windows, 40)], 45);
});

test("fields take only what the server takes", () => {
  assert.deepEqual(["1", " 30 ", "4194303"].map((text) => whole(text, mostLimit)), [1, 30, 4_194_303]);
  for (const text of ["", "0", "-1", "1.5", "1e3", "4194304", "9999999999", "x"]) assert.equal(whole(text, mostLimit), null, text);
  assert.deepEqual(["99.9", "100", "0.5"].map(share), [99.9, 100, 0.5]);
  for (const text of ["", "0", "100.1", "-1", ".5", "NaN"]) assert.equal(share(text), null, text);
});

test("questions are written for the server", () => {
  const wanted = { policy: "a b", limit: 30, window: 60 };
  assert.equal(simulatePath(wanted), "/grid/simulate?policy=a+b&limit=30&window=60");
  assert.equal(suggestPath(wanted, 99.9), "/grid/suggest?policy=a+b&window=60&share=99.9");
});

test("an answer says how much of the record it is about", () => {
  const part = { from: "2026-11-22T09:00:00Z", to: "2026-11-22T14:00:00Z" };
  assert.equal(covered({ ...part, cut: true }), "the newest 5 h of the record");
  assert.equal(covered({ ...part, cut: false }), "the whole record, 5 h");
  assert.equal(covered({ cut: false }), "");
});

test("nothing is known of steps that lie within a gap", () => {
  const result = {
    steps: { start: "2026-11-22T09:00:00Z", step: 60, refused: [1, 2, 3, 4], was_refused: [0, 0, 0, 1] },
    record: { gaps: [{ from: "2026-11-22T09:00:30Z", to: "2026-11-22T09:02:00Z" }] },
  } as unknown as TriedLimit;
  const at = Date.parse("2026-11-22T09:00:00Z") / 1000;
  assert.deepEqual(timeline(result), { start: at, step: 60, refused: [1, null, 3, 4], was: [0, null, 0, 1] });
});

/** asked returns an asker, and lets the test answer it. */
function asked() {
  const sent: { path: string; abort: AbortSignal; answer: (text: string) => void; fail: (reason: Error) => void }[] = [];
  const asker = new Asker<string>((path, abort) => new Promise((answer, fail) => sent.push({ path, abort, answer, fail })), 250);
  return { asker, sent };
}

/** settled lets promises that are resolved have their effect. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

test("while somebody drags, only the last choice is asked for, and what it supersedes is aborted", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const { asker, sent } = asked();
    asker.want("a");
    mock.timers.tick(0); // the first is asked for at once
    assert.deepEqual(sent.map(({ path }) => path), ["a"]);
    sent[0]!.answer("A");
    await settled();
    assert.deepEqual(asker.answer.value, { data: "A", path: "a", busy: false, error: null });

    for (const path of ["b", "c", "d"]) {
      asker.want(path);
      mock.timers.tick(249);
    }
    assert.equal(sent.length, 1);
    assert.deepEqual(asker.answer.value, { data: "A", path: "a", busy: true, error: null });
    mock.timers.tick(1);
    assert.deepEqual(sent.map(({ path }) => path), ["a", "d"]);

    asker.want("e");
    assert.equal(sent[1]!.abort.aborted, true);
    sent[1]!.answer("D"); // too late
    await settled();
    mock.timers.tick(250);
    sent[2]!.answer("E");
    await settled();
    assert.deepEqual(asker.answer.value, { data: "E", path: "e", busy: false, error: null });
  } finally {
    mock.timers.reset();
  }
});

test("what is there is not asked for again, unless somebody wants it again", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const { asker, sent } = asked();
    asker.want("a");
    asker.want("a");
    mock.timers.tick(0);
    sent[0]!.answer("A");
    await settled();
    asker.want("b");
    asker.want("a"); // back before it was asked for
    mock.timers.tick(1000);
    assert.equal(sent.length, 1);
    assert.equal(asker.answer.value.busy, false);
    asker.again();
    mock.timers.tick(250);
    assert.equal(sent.length, 2);
    asker.want(null); // the page is left
    assert.equal(sent[1]!.abort.aborted, true);
    assert.deepEqual(asker.answer.value, { data: "A", path: "", busy: false, error: null });
  } finally {
    mock.timers.reset();
  }
});

test("a refusal is shown beside the last answer, and ends with the next", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const { asker, sent } = asked();
    asker.want("a");
    mock.timers.tick(0);
    sent[0]!.answer("A");
    await settled();
    asker.want("b");
    mock.timers.tick(250);
    sent[1]!.fail(new Error("No."));
    await settled();
    assert.deepEqual(asker.answer.value, { data: "A", path: "a", busy: false, error: "No." });
    asker.again();
    assert.deepEqual([asker.answer.value.busy, asker.answer.value.error], [true, null]);
    mock.timers.tick(250);
    sent[2]!.answer("B");
    await settled();
    assert.deepEqual(asker.answer.value, { data: "B", path: "b", busy: false, error: null });
  } finally {
    mock.timers.reset();
  }
});
