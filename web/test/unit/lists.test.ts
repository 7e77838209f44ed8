import assert from "node:assert/strict";
import { test } from "node:test";
import type { Destination, Destinations, LeftOut, Series, Stats } from "../../src/api.ts";
import { Lags } from "../../src/charts/lag.ts";
import { extend, finished, most, sums, unknown } from "../../src/charts/series.ts";
import { exact } from "../../src/format.ts";
import { howOften, recent, whatWasLeftOut } from "../../src/live/leftout.ts";
import { Feed } from "../../src/live/feed.ts";
import { href, parse } from "../../src/route.ts";
import { reveal, windowOf } from "../../src/ui/window.ts";

test("only the rows in sight are drawn, and some beside them", () => {
  assert.deepEqual(windowOf(0, 400, 40, 1000, 3), { first: 0, end: 13 });
  assert.deepEqual(windowOf(4000, 400, 40, 1000, 3), { first: 97, end: 113 });
  assert.deepEqual(windowOf(39_600, 400, 40, 1000, 3), { first: 987, end: 1000 });
  assert.deepEqual(windowOf(39_600, 400, 40, 5, 3), { first: 5, end: 5 }); // the list got shorter while somebody looked
  assert.deepEqual(windowOf(-50, 400, 40, 1000, 3), { first: 0, end: 13 }); // pulled past its end, on a phone
  assert.deepEqual(windowOf(0, 400, 40, 0, 3), { first: 0, end: 0 });
});

test("lags are kept by time, with gaps where nobody looked", () => {
  const at = (now: number, lags: { [name: string]: number }): Destinations => ({
    now,
    destinations: Object.entries(lags).map(([name, lag_events]) => ({ name, lag_events }) as Destination),
    unanswered: [],
  });
  const lags = new Lags(10, 4);
  assert.deepEqual(lags.of("a", 95), { start: 90, values: [null] });
  lags.note(at(101, { a: 1, b: 9 }));
  lags.note(at(109, { a: 2 })); // b is gone
  lags.note(at(125.5, { a: 4 }));
  assert.deepEqual(lags.of("a", 126), { start: 100, values: [2, null, 4] });
  assert.deepEqual(lags.of("b", 126), { start: 100, values: [null, null, null] });
  lags.note(at(155, { a: 7 }));
  assert.deepEqual(lags.of("a", 155), { start: 120, values: [4, null, null, 7] });
  assert.deepEqual(sums(120, 10, [[4, null, null, 7]], 2, most), [{ start: 120, values: [4] }, { start: 140, values: [7] }]);
  assert.equal(most([null]), null);
});

test("a row is brought into sight by the least movement", () => {
  assert.equal(reveal(2, 0, 400, 40), 0);
  assert.equal(reveal(10, 0, 400, 40), 40);
  assert.equal(reveal(1, 400, 400, 40), 40);
});

test("a feed stays bounded, holds still, and counts what it lets go", () => {
  const sized = (...sizes: number[]) => sizes.map((size) => ({ size }));
  const feed = new Feed<{ size: number }>(4, 100);
  assert.equal(feed.add(sized(1, 2, 3), false), true);
  assert.equal(feed.add(sized(4, 5), false), true);
  assert.deepEqual(feed.rows, sized(2, 3, 4, 5));
  assert.equal(feed.add(sized(6, 7, 8), true), false);
  assert.equal(feed.add(sized(9, 10), true), false);
  assert.deepEqual([feed.rows, feed.waiting, feed.lost], [sized(2, 3, 4, 5), sized(7, 8, 9, 10), 1]);
  assert.equal(feed.release(), true);
  assert.deepEqual([feed.rows, feed.waiting], [sized(7, 8, 9, 10), []]);
  assert.equal(feed.release(), false);
  feed.add(sized(50, 50, 1), false);
  assert.deepEqual(feed.rows, sized(50, 1)); // the sum of all would be more than 100
  feed.add(sized(1000), false);
  assert.deepEqual(feed.rows, sized(1000)); // the newest, whatever its size
  feed.clear();
  assert.deepEqual([feed.rows, feed.waiting, feed.lost], [[], [], 0]);
});

test("what was left out is told as long as it goes on, and for an hour", () => {
  const one = (identifier: string, why: LeftOut["why"], last: number, value: string | null = null): LeftOut => ({
    project: "p", identifier, why, value, count: 1, first: 0, last, command: "customers/events", type: "visit", address: "203.0.113.7",
  });
  const all = [one("registered", "listed", 5000, "undefined"), one("cookie", "empty", 5001), one("email", "signs", 100)];
  assert.deepEqual(recent(all, 3700).map((l) => l.identifier), ["cookie", "registered", "email"]);
  assert.deepEqual(recent(all, 3701).map((l) => l.identifier), ["cookie", "registered"]);
  assert.deepEqual(recent(all, 9000), []);
  assert.deepEqual(all.map(whatWasLeftOut), ['registered "undefined"', "cookie, empty", "email, without a letter or digit"]);
  assert.deepEqual([1, 2, 1234].map((n) => howOften(n, exact)), ["once", "twice", "1,234 times"]);
});

const flat = (n: number | null) => [n, n, n];
const series: Series = { start: 100, step: 10, accepted: flat(5), refused: flat(0), limited: flat(0), failed: flat(null) };
const second = (now: number): Stats => ({ now, accepted: 2, refused: 1, limited: 0, failed: 0, dropped: 0 });

test("a second is added to its step, and a new step moves the series on", () => {
  assert.deepEqual(extend(series, second(125.5), 0).accepted, [5, 5, 7]);
  const next = extend(series, second(130), 0);
  assert.deepEqual([next.start, next.accepted, next.refused, next.failed], [110, [5, 5, 2], [0, 0, 1], [null, null, 0]]);
  assert.deepEqual(extend(series, second(900), 0).accepted, [0, 0, 2]); // after a long sleep
  assert.equal(extend(series, second(99), 0), series);
  assert.deepEqual(series.accepted, [5, 5, 5]);
  assert.deepEqual(extend(series, second(134), 133).accepted, [5, 5, null]); // this step was running when the series was read
  assert.deepEqual(extend(series, second(140), 133).accepted, [5, 0, 2]);
});

test("steps that are not over yet are left out", () => {
  assert.deepEqual(finished(series, 129.9).accepted, [5, 5]);
  assert.equal(finished(series, 130), series);
  assert.deepEqual(finished(series, 0).accepted, []);
});

test("a young server's chart begins with the server, but is not empty", () => {
  const line = [...Array<null>(90).fill(null), ...Array<number>(10).fill(1)];
  assert.equal(unknown([line], 30), 70);
  assert.equal(unknown([line, [...Array<null>(50).fill(null), ...Array<number>(50).fill(1)]], 30), 49);
  assert.equal(unknown([[1, null, 1]], 2), 0);
  assert.equal(unknown([[null, null]], 1), 1);
  assert.equal(unknown([]), 0);
});

test("the table of a chart sums up its steps", () => {
  assert.deepEqual(sums(100, 10, [[1, 2, 3], [null, null, 4]], 2), [
    { start: 100, values: [3, null] },
    { start: 120, values: [3, 4] },
  ]);
});

test("places are written and read", () => {
  const hash = href("customers", { q: "a=b&c #1", order: "", type: ["x", "y"], project: null });
  assert.equal(hash, "#/customers?q=a%3Db%26c+%231&type=x&type=y");
  const { page, query } = parse(hash);
  assert.deepEqual([page, query.get("q"), query.getAll("type"), query.get("order")], ["customers", "a=b&c #1", ["x", "y"], null]);
  for (const other of ["", "#", "#/", "#/nowhere", "nonsense"]) assert.equal(parse(other).page, "overview");
});
