/**
 * backoff returns how many milliseconds to wait before a try. The first try is
 * number 0. The result is a random time between half of a bound and the bound,
 * which doubles up to `most`. The lower half is left out so that people see a
 * wait instead of a flicker.
 */
export function backoff(attempt: number, random: number, least = 1000, most = 30_000): number {
  const bound = Math.min(most, least * 2 ** Math.min(attempt, 20));
  return bound / 2 + (random * bound) / 2;
}
