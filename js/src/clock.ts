let last = 0

/** A clock that is set back by this much or more, in microseconds, is believed. */
const step = 1_000_000

/**
 * Returns a timestamp for a reading of the clock, both in whole microseconds since 1970 (exact in a number until 2255): the
 * reading, or the last timestamp and one more, so that two equal events stay two.
 */
export function stamp(reading: number): number {
  return (last = reading > last || reading <= last - step ? reading : last + 1)
}

/**
 * Returns a timestamp of now. The clock gives milliseconds; the rest is drawn, so that two pages of one browser, or two
 * processes, hardly ever agree by chance.
 */
export const micros = () => stamp(Date.now() * 1000 + ((Math.random() * 1000) | 0))

/** Returns what the wire format wants of a time: Unix seconds with at most six decimals; NaN for what is no time. */
export const seconds = (time: Date | number | undefined) =>
  time == undefined ? micros() / 1e6 : typeof time === 'number' ? time : +time / 1000
