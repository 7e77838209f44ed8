// Asks questions of the data API. openapi/vectors/positions.json tests the
// rules.
import { again, parse, reasonOf, retryAfter, type Fields, type Verdict } from './answer.ts'
import { header, isPosition, type Place } from './position.ts'
import { moved } from './redirect.ts'
import type { Sender } from './sender.ts'
import type { Server } from './servers.ts'

/** A question that a server has refused. */
export class AnswerError extends Error {
  /** The status of the answer. */
  readonly status: number
  constructor(status: number, reason: string) {
    super(reason)
    this.name = 'AnswerError'
    this.status = status
  }
}

/** The decision about a question. */
export type Decision =
  | { action: 'done' }
  /** Ask again without a position: the cluster does not know it. */
  | { action: 'without' }
  | { action: 'reject'; why: string }
  | (Verdict & { action: 'retry' })

/** Returns the reason of a refusal. Those of the data API name fields. */
function why(status: number, body: string): string {
  const answer = parse(body)
  const { errors } = answer ?? {}
  const fields = errors && typeof errors === 'object' && !Array.isArray(errors) ? Object.values(errors).flat() : []
  const texts = fields.filter((text) => typeof text === 'string').sort()
  return texts.join(' ') || reasonOf(answer) || 'HTTP ' + status
}

/**
 * Decides what an answer to a question means. sent is the position that was
 * sent. A question that is refused is not asked again.
 */
export function decide(status: number, fields: Fields, body: string, sent: string, attempt: number, now = Date.now()): Decision {
  if (status === 200) return { action: 'done' }
  if (status === 400 && sent && body.includes(header)) return { action: 'without' }
  const pace = status === 408 || status === 429
  if (status >= 400 && status < 500 && !pace) return { action: 'reject', why: why(status, body) }
  return again(why(status, body), attempt, !pace, retryAfter(fields, now))
}

/** Notes what a decision about an answer with a position means. */
export function note(place: Place, action: string | undefined, answer: string | null, sent: string): void {
  if (action !== 'without') return place.learn(answer, sent)
  if (place.held === sent) place.held = isPosition(answer ?? '') ? answer! : ''
}

/**
 * Asks a question until it is answered, or a number of milliseconds have
 * passed. Then it rejects with the reason of the last failure.
 */
export async function read(sender: Sender, project: string, route: string, question: unknown, timeout: number, closed: AbortSignal): Promise<unknown> {
  const path = ({ url }: Server) => `${url}/data/v2/projects/${project}/${route.replace(/^\/+/, '')}`
  const body = JSON.stringify(question)
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), timeout)
  const stop = AbortSignal.any([closed, late.signal])
  let last = ''
  try {
    for (let to = '', moves = 0, bare = false; ; ) {
      const server = await sender.ready(stop)
      if (stop.aborted) throw new Error(last || (closed.aborted ? 'The client is closed.' : 'The client had to wait for too long.'))
      if (!server) continue
      if (!to) moves = 0
      const url = to || path(server)
      to = ''
      const sent = bare ? '' : sender.place.held
      const headers: Record<string, string> = { 'Content-Type': 'application/json', ...(sent && { [header]: sent }) }
      let decision: Decision
      let text = ''
      let status = 0
      try {
        const got = await sender.ask(server, url, stop, { method: 'POST', headers, body, redirect: 'manual' })
        const { answer } = got
        ;({ text } = got)
        ;({ status } = answer)
        const target = moved(status, answer.headers.get('Location'), url, moves++)
        if (target) {
          to = target
          sender.use(target, path({ url: '' } as Server))
          continue
        }
        decision = decide(status, answer.headers, text, sent, sender.attempt(server))
        note(sender.place, decision.action, answer.headers.get(header), sent)
      } catch (error) {
        if (stop.aborted) continue // says so above
        decision = again(String(error), sender.attempt(server), true)
      }
      if (decision.action === 'retry') {
        last = decision.why
        sender.failed(server, decision)
        continue
      }
      server.failures = 0
      if (decision.action === 'done') return JSON.parse(text)
      if (decision.action === 'reject') throw new AnswerError(status, decision.why)
      bare = true
    }
  } finally {
    clearTimeout(timer)
  }
}
