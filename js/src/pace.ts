// Slowing down before we are refused. Held to openapi/vectors/pacing.json.

import { clockOf, type Fields, type Range } from './answer.ts'

/** The share of a quota above which nothing is waited for; by how much later than needed we come; and by how many seconds the
 * ends of a window, which are told in whole seconds, may differ. */
const free = 0.5
const late = 0.1
const same = 1.5

/** What one policy says: r calls are left for t seconds, of q in w. What is not told is NaN. */
export interface Allowance {
  policy: string
  r: number
  t: number
  q: number
  w: number
}

/** The members of a list of strings with parameters (RFC 9651), by name. What cannot be read is left out. */
function members(list: string | null): Map<string, string> {
  return new Map([...(list ?? '').matchAll(/"((?:[^"\\]|\\.)*)"((?:[^",]|"[^"]*")*)/g)].map(([, name, rest]) => [name!, rest!]))
}

const parameter = (rest: string | undefined, name: string) => Number(new RegExp(`;\\s*${name}=(\\d+)`).exec(rest ?? '')?.[1] ?? NaN)

/** Reads RateLimit with RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), else X-RateLimit-*. */
export function allowances(fields: Fields, now = Date.now()): Allowance[] {
  const policies = members(fields.get('RateLimit-Policy'))
  const told = [...members(fields.get('RateLimit'))].map(([policy, rest]) => {
    const quota = policies.get(policy)
    return { policy, r: parameter(rest, 'r'), t: parameter(rest, 't'), q: parameter(quota, 'q'), w: parameter(quota, 'w') }
  })
  const old = (name: string) => parseInt(fields.get('X-RateLimit-' + name) ?? '')
  const t = Math.max(0, old('Reset') - clockOf(fields, now) / 1000)
  const readable = ({ r, t }: Allowance) => r >= 0 && t >= 0
  const found = told.filter(readable)
  return found.length ? found : [{ policy: '', r: old('Remaining'), t, q: old('Limit'), w: NaN }].filter(readable)
}

/** Returns how long to wait until the next call, where each of ours comes with cost - 1 of others. */
export function delay({ r, t, q, w }: Allowance, cost: number): Range {
  if (!t || r > q * free) return [0, 0]
  const usable = r - (cost - 1)
  if (usable < cost) return [t, t + late * (w || t)]
  const d = (t * cost) / usable
  return [d, d * (1 + late)]
}

/** Paces the calls to one server. */
export class Pacer {
  /** How many calls all who share our limit make for each of ours. */
  cost = 1
  /** Calls since the last answer that told how much is left. */
  calls = 0
  #sampled = false
  #last: (Allowance & { end: number }) | undefined

  /** Notes an answer that came at a time, in seconds. Returns how long to wait, or undefined if the answer does not say. */
  note(fields: Fields, at: number): Range | undefined {
    const [worst] = allowances(fields)
      .map((a) => ({ a, wait: delay(a, this.cost)[0] }))
      .sort((x, y) => y.wait - x.wait)
    if (!worst) return undefined
    this.sample(worst.a, at)
    return delay(worst.a, this.cost)
  }

  /** Learns from two answers of one window how many others call. */
  sample(a: Allowance, at: number): void {
    const before = this.#last
    this.#last = { ...a, end: at + a.t }
    if (before && before.policy === a.policy && a.r < before.r && Math.abs(this.#last.end - before.end) <= same) {
      const seen = Math.max(1, (before.r - a.r) / this.calls)
      this.cost = this.#sampled ? this.cost + (seen - this.cost) / 4 : seen
      this.#sampled = true
    }
    this.calls = 0
  }
}
