import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, bytes, Clock, count, exact, iso, percent, short, span, utc } from "../../src/format.ts";

function cases<In, Out>(name: string, of: (value: In) => Out, rows: readonly (readonly [In, Out])[]) {
  test(name, () => {
    for (const [value, want] of rows) assert.equal(of(value), want, `${name}(${String(value)})`);
  });
}

cases("short", short, [
  [0, "0"],
  [7, "7"],
  [0.25, "0.3"],
  [9999, "9,999"],
  [10_000, "10 k"],
  [12_345, "12.3 k"],
  [-12_345, "-12.3 k"],
  [999_499, "999 k"],
  [999_500, "1 M"],
  [1_234_567, "1.23 M"],
  [48_102_993, "48.1 M"],
  [2e9, "2 G"],
  [3.1e12, "3.1 T"],
]);
cases("exact", exact, [[1_234_567, "1,234,567"], [0.25, "0.25"]]);
cases("bytes", bytes, [[0, "0 B"], [1023, "1023 B"], [1024, "1.0 KiB"], [81e9, "75 GiB"], [5 * 2 ** 50, "5 PiB"]]);
cases("span", span, [[0, "0 s"], [59.6, "1 min"], [61, "1 min 1 s"], [3600, "1 h"], [3601, "1 h"], [90_061, "1 d 1 h"]]);
cases("percent", ([part, whole]: readonly [number, number]) => percent(part, whole), [
  [[0, 10], "0 %"],
  [[1, 0], "0 %"],
  [[1, 100_000], "< 0.1 %"],
  [[3, 200], "1.5 %"],
  [[1, 2], "50 %"],
  [[99_999, 100_000], "> 99.9 %"],
  [[5, 5], "100 %"],
]);
cases("count", (n: number) => count(n, "event"), [[1, "1 event"], [2, "2 events"], [0, "0 events"]]);
cases("ago", (seconds: number) => ago(seconds, 1000), [[1000, "just now"], [1001, "just now"], [970, "30 s ago"], [0, "16 min ago"]]);

test("times are of the zone that is asked for, with UTC beside", () => {
  const clock = new Clock("Asia/Kathmandu", "en-GB"); // 5:45 ahead
  const at = 1_795_325_089.1234;
  assert.equal(clock.both(at), "22 Nov 2026, 11:09");
  assert.equal(clock.time(at), "11:09:49");
  assert.equal(clock.milli(at), "11:09:49.123");
  const hour = 3600;
  assert.equal(clock.recent(at, at + hour), "11:09:49");
  assert.equal(clock.moment(at, at + hour), "11:09:49.123");
  assert.equal(clock.moment(at, at + 13 * hour), "22 Nov, 11:09"); // today began at 18:15 UTC
  assert.equal(clock.recent(at, at + 60 * 24 * hour), "22 Nov 2026");
  assert.match(clock.weekday(at), /^Sunday,? 22 November 2026$/); // the comma depends on the version of the language data
  assert.equal(iso(at), "2026-11-22T05:24:49.123Z");
  assert.equal(utc(at), "2026-11-22 05:24:49.123 UTC");
  assert.equal(iso(NaN), "");
});
