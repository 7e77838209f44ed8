// What answers mean. Held to openapi/vectors/backoff.json and results.json.

/** The fields of an answer, as Headers has them. */
export interface Fields {
  get(name: string): string | null
}

/** The ends of what a wait is drawn from, in seconds. */
export type Range = [low: number, high: number]

/** Draws from a range, evenly. */
export const draw = ([low, high]: Range) => low + Math.random() * (high - low)

/** What becomes of a batch. */
export type Verdict =
  /** Each command has an outcome: undefined means delivered, a text why it is refused, null that nothing is known of it. */
  | { action: 'done'; outcomes: (string | null | undefined)[] }
  /** Its halves may be understood where the whole was not. */
  | { action: 'split' }
  /** None of its commands can ever succeed. */
  | { action: 'reject'; why: string }
  /** It is sent again, to this server after a delay; with failover to another one meanwhile. */
  | { action: 'retry'; why: string; delay: Range; failover: boolean }

/** Seconds: the first wait of all, the longest that we choose, how much longer than it says we take a server at its word, and
 * the longest that we believe it. */
const base = 0.5
const cap = 30
const spread = 0.1
export const most = 3600

/** Judges the answer to a batch of so many commands, which is the attempt-th failure of its server in a row if it is one. */
export function judge(status: number, fields: Fields, body: string, commands: number, attempt: number, now = Date.now()): Verdict {
  const answer = parse(body)
  const outcomes = answer?.results?.map?.(outcome)
  if (status === 200 && outcomes?.length === commands) return { action: 'done', outcomes }
  const said = reasonOf(answer)
  const reason = said || 'HTTP ' + status
  const pace = status === 408 || status === 429
  // Every other 4xx, and a 400 with "error", which names the project, says that we were not let in: a key that was changed, a
  // project that is missing, a proxy without a server. Nobody has looked at the commands: they wait, for long.
  const about = status === 413 || (status === 400 && said && typeof answer.error !== 'string')
  if (!about) return again(reason, pace || status < 400 || status >= 500 ? attempt : Infinity, !pace, retryAfter(fields, now))
  return commands > 1 ? { action: 'split' } : { action: 'reject', why: reason }
}

/** Returns a verdict to try again: full jitter below a ceiling that doubles, but never before the server wants us to. */
export function again(reason: string, attempt: number, failover: boolean, low = 0): Verdict & { action: 'retry' } {
  return { action: 'retry', why: reason, failover, delay: [low, Math.max(low * (1 + spread), Math.min(cap, base * 2 ** (attempt - 1)))] }
}

/** What came over the wire. */
type Anything = any

function parse(body: string): Anything {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

/** The texts among what should be an array of texts. */
const texts = (errors: Anything): string => (Array.isArray(errors) ? errors.filter((e) => typeof e === 'string').join(' ') : '')

/** What a result says of its command. */
const outcome = (result: Anything) =>
  result?.success === true ? undefined : result?.success === false ? texts(result.errors) || 'refused without a reason' : null

/** The reason that an answer gives, in whichever shape. */
const reasonOf = (answer: Anything): string =>
  [answer?.message, answer?.error, answer?.errors?.description].find((e) => e && typeof e === 'string') ?? texts(answer?.errors)

/** Seconds until the server wants to be asked again: a number or a date (RFC 9110, sections 10.2.3 and 5.6.7). */
function retryAfter(fields: Fields, now: number): number {
  const value = fields.get('Retry-After') ?? ''
  let wait = /^\d+$/.test(value) ? +value : 0
  // A date of asctime has no zone, and means GMT as well. By the server's own clock, since ours may be wrong.
  if (/:/.test(value)) wait = (Date.parse(value.replace(/( GMT)?$/, ' GMT')) - clockOf(fields, now)) / 1000
  return Math.min(most, Math.max(0, wait || 0))
}

/** When the answer was made, in milliseconds. */
export const clockOf = (fields: Fields, now: number) => Date.parse(fields.get('Date') ?? '') || now
