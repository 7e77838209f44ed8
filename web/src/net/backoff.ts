/**
 * backoff returns how many milliseconds to wait before a try, counted from 0: a random time between half of a bound and the
 * bound, which doubles up to `most`. The lower half is left out so that a person sees a wait, and no flicker.
 */
export function backoff(attempt: number, random: number, least = 1000, most = 30_000): number {
  const bound = Math.min(most, least * 2 ** Math.min(attempt, 20));
  return bound / 2 + (random * bound) / 2;
}
