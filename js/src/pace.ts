// Slows down before the server has to refuse us. openapi/vectors/pacing.json
// tests these rules.

import { clockOf, most, type Fields, type Range } from './answer.ts'

/**
 * free: if more than this share of a quota is left, nothing waits. late: a
 * client waits for up to this share longer than necessary. same: two reports
 * are about the same window if its ends differ by at most this many seconds,
 * because servers give whole seconds.
 */
const free = 0.5
const late = 0.1
const same = 1.5

/**
 * One policy in an answer: r calls are left for t seconds, of q in w seconds.
 */
export interface Allowance {
  policy: string
  r?: number
  t?: number
  q?: number
  w?: number
}

/**
 * Parses a list of strings with parameters (RFC 9651). Only parameters that are
 * whole numbers are kept.
 */
const members = (list: string | null): Allowance[] =>
  [...(list ?? '').matchAll(/"((?:[^"\\]|\\.)*)"((?:[^",]|"[^"]*")*)/g)].map(([, policy, rest]) => ({
    policy: policy!,
    ...Object.fromEntries([...rest!.matchAll(/;\s*(\w+)=(\d+)/g)].map(([, name, value]) => [name, +value!])),
  }))

/**
 * Parses RateLimit with RateLimit-Policy
 * (draft-ietf-httpapi-ratelimit-headers-10), or else X-RateLimit-*.
 */
export function allowances(fields: Fields, now = Date.now()): Allowance[] {
  const old = (name: string) => parseInt(fields.get('X-RateLimit-' + name) ?? '')
  const readable = ({ r, t }: Allowance) => r! >= 0 && t! >= 0
  const policies = members(fields.get('RateLimit-Policy'))
  const found = members(fields.get('RateLimit')).filter(readable)
  if (found.length) return found.map((state) => ({ ...policies.find(({ policy }) => policy === state.policy), ...state }))
  const t = Math.max(0, old('Reset') - clockOf(fields, now) / 1000)
  return [{ policy: '', r: old('Remaining'), t, q: old('Limit') }].filter(readable)
}

/**
 * Returns how long to wait before the next call. cost is the number of calls by
 * all clients for each of ours.
 */
export function delay({ r, t, q, w }: Allowance, cost: number): Range {
  if (!t || r! > q! * free) return [0, 0]
  t = Math.min(most, t)
  const usable = r! - (cost - 1)
  if (usable < cost) return [t, t + late * Math.min(most, w || t)]
  const d = (t * cost) / usable
  return [d, d * (1 + late)]
}

/** The limits of one server, as far as its answers have told us. */
export interface Pacer {
  /**
   * How many calls all clients that share our limit make for each of ours;
   * seen: whether that is known.
   */
  cost: number
  seen?: boolean
  /** Calls since the last answer that said how much is left. */
  calls: number
  last?: Allowance & { end: number }
}

export const newPacer = (): Pacer => ({ cost: 1, calls: 0 })

/**
 * Learns from two answers about one window how much others call. at is the time
 * of the later answer, in seconds.
 */
export function sample(pacer: Pacer, a: Allowance, at: number): void {
  const { last, calls, cost } = pacer
  const end = at + a.t!
  if (last && last.policy === a.policy && a.r! < last.r! && Math.abs(end - last.end) <= same) {
    const now = Math.max(1, (last.r! - a.r!) / calls)
    pacer.cost = pacer.seen ? cost + (now - cost) / 4 : now
    pacer.seen = true
  }
  pacer.last = { ...a, end }
  pacer.calls = 0
}

/**
 * Notes the fields of an answer. Returns how long to wait, or undefined if the
 * fields do not say.
 */
export function note(pacer: Pacer, fields: Fields, at: number): Range | undefined {
  const [worst] = allowances(fields).sort((x, y) => delay(y, pacer.cost)[0] - delay(x, pacer.cost)[0])
  if (worst) sample(pacer, worst, at)
  return worst && delay(worst, pacer.cost)
}
