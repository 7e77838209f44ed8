let last = 0

/**
 * If the clock is set back by at least this many microseconds, we believe it.
 */
const step = 1_000_000

/**
 * Returns a timestamp for a reading of the clock, both in whole microseconds
 * since 1970 (exact in a number until 2255). This is the reading, or else the
 * last timestamp plus one, so that two equal events remain two.
 */
export function stamp(reading: number): number {
  return (last = reading > last || reading <= last - step ? reading : last + 1)
}

/**
 * Returns a timestamp of now. The clock counts in milliseconds; the rest is
 * random, so that two pages or processes hardly ever get the same one by
 * chance.
 */
export const micros = () => stamp(Date.now() * 1000 + ((Math.random() * 1000) | 0))

/**
 * Returns a time as the wire format wants it: Unix seconds with at most six
 * decimals. Returns NaN if it is not a valid time.
 */
export const seconds = (time: Date | number | undefined) =>
  time == undefined ? micros() / 1e6 : typeof time === 'number' ? time : +time / 1000
