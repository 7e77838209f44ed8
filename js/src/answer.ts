// Interprets answers. openapi/vectors/backoff.json and results.json test these
// rules.

/** The fields of an answer, as Headers has them. */
export interface Fields {
  get(name: string): string | null
}

/** The range that a wait is drawn from, in seconds. */
export type Range = [low: number, high: number]

/** Draws from a range with equal probability. */
export const draw = ([low, high]: Range) => low + Math.random() * (high - low)

/** The decision about a batch. */
export type Verdict =
  /**
   * Each command has an outcome: undefined if it was delivered, a text with the
   * reason if it was refused, null if nothing is known.
   */
  | { action: 'done'; outcomes: (string | null | undefined)[] }
  /** The server may understand its halves. */
  | { action: 'split' }
  /** None of its commands can ever succeed. */
  | { action: 'reject'; why: string }
  /**
   * Send it again: to this server after a delay, or with failover to another
   * one in the meantime.
   */
  | { action: 'retry'; why: string; delay: Range; failover: boolean }

/**
 * In seconds: the first wait of all; the longest wait that we choose; how much
 * longer than the server says we wait; the longest wait that we accept from it.
 */
const base = 0.5
const cap = 30
const spread = 0.1
export const most = 3600

/**
 * Judges the answer to a batch with a number of commands. attempt is the number
 * of consecutive failures of the server, including this answer if it is one.
 */
export function judge(status: number, fields: Fields, body: string, commands: number, attempt: number, now = Date.now()): Verdict {
  const answer = parse(body)
  const outcomes = answer?.results?.map?.(outcome)
  if (status === 200 && outcomes?.length === commands) return { action: 'done', outcomes }
  const said = reasonOf(answer)
  const reason = said || 'HTTP ' + status
  const pace = status === 408 || status === 429
  // Every other 4xx, and a 400 with "error", which is about the project, means
  // that we were not let in: the key was changed, the project is missing, or a
  // proxy has no server behind it. No server has looked at the commands, so
  // they wait for a long time.
  const about = status === 413 || (status === 400 && said && typeof answer.error !== 'string')
  if (!about) return again(reason, pace || status < 400 || status >= 500 ? attempt : Infinity, !pace, retryAfter(fields, now))
  return commands > 1 ? { action: 'split' } : { action: 'reject', why: reason }
}

/**
 * Returns the verdict to try again: full jitter below a ceiling that doubles,
 * but never before the server wants us to.
 */
export function again(reason: string, attempt: number, failover: boolean, low = 0): Verdict & { action: 'retry' } {
  return { action: 'retry', why: reason, failover, delay: [low, Math.max(low * (1 + spread), Math.min(cap, base * 2 ** (attempt - 1)))] }
}

/** Data from the network. */
type Anything = any

export function parse(body: string): Anything {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

/** The texts in a value that should be an array of texts. */
const texts = (errors: Anything): string => (Array.isArray(errors) ? errors.filter((e) => typeof e === 'string').join(' ') : '')

/** The outcome of a command, according to its result. */
const outcome = (result: Anything) =>
  result?.success === true ? undefined : result?.success === false ? texts(result.errors) || 'refused without a reason' : null

/** The reason that an answer gives, in any format. */
export const reasonOf = (answer: Anything): string =>
  [answer?.message, answer?.error, answer?.errors?.description].find((e) => e && typeof e === 'string') ?? texts(answer?.errors)

/**
 * The seconds until the server wants the next request, from a number or a date
 * (RFC 9110, sections 10.2.3 and 5.6.7).
 */
export function retryAfter(fields: Fields, now: number): number {
  const value = fields.get('Retry-After') ?? ''
  let wait = /^\d+$/.test(value) ? +value : 0
  // A date in the format of asctime has no zone, and means GMT too. Differences
  // are taken by the server's own clock, since ours may be wrong.
  if (/:/.test(value)) wait = (Date.parse(value.replace(/( GMT)?$/, ' GMT')) - clockOf(fields, now)) / 1000
  return Math.min(most, Math.max(0, wait || 0))
}

/** When the answer was made, in milliseconds. */
export const clockOf = (fields: Fields, now: number) => Date.parse(fields.get('Date') ?? '') || now
