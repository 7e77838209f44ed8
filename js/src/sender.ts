import { again, draw, judge, type Verdict } from './answer.ts'
import type { Platform } from './core.ts'
import { note } from './pace.ts'
import { header, newPlace, type Place } from './position.ts'
import { newServers, type Server } from './servers.ts'
import type { Options } from './types.ts'

/** Bodies from this number of bytes on are compressed. */
export const gzipFrom = 1024

const now = () => performance.now() / 1000

/** The body of a batch. */
export const envelope = (bodies: readonly string[]) => `{"commands":[${bodies.join()}]}`

/**
 * Sends batches to a server. It chooses the server, keeps to its pace, and
 * tries again.
 */
export interface Sender {
  /** Returns the address of the server in use. */
  server(): string
  /**
   * Returns the address for batches of the server in use, if it may be called
   * now.
   */
  readyURL(): string | false | undefined
  /**
   * Sends a batch again and again until the answer is one that needs no retry.
   * Resolves to undefined if stop ends it.
   */
  send(bodies: readonly string[], stop: AbortSignal): Promise<Exclude<Verdict, { action: 'retry' }> | undefined>
  /** Asks the server for its time. */
  time(stop: AbortSignal): Promise<number>

  // The reader uses the rest, too.

  /** How far the data goes that the client knows of. */
  place: Place
  /**
   * Returns the server to call once it may be called. Returns nothing if
   * another server has to be chosen meanwhile, or at a stop.
   */
  ready(stop: AbortSignal): Promise<Server | undefined>
  /**
   * Makes a request with the client's key, and notes what the answer says about
   * limits.
   */
  ask(server: Server, url: string, stop: AbortSignal, init: RequestInit): Promise<{ answer: Response; text: string }>
  /** The failures in a row if the server fails now. */
  attempt(server: Server): number
  /**
   * Notes a failure. The server is left alone or, if it is not at fault, waited
   * for.
   */
  failed(server: Server, verdict: Verdict & { action: 'retry' }): void
  /** Uses the server that a redirect leads to: what comes before path. */
  use(target: string, path: string): void
}

export function newSender(options: Options, platform: Platform, trouble: (error: unknown) => void): Sender {
  const servers = newServers(options, platform.memo)
  const place = newPlace()
  const { authorization: Authorization } = platform

  const path = ({ url }: Server, route: string) => `${url}/track/v2/projects/${options.project}/${route}`

  /** Makes a request and reads its answer, within the timeout. */
  const request = (url: string, stop: AbortSignal, init?: RequestInit) =>
    within(options.timeout ?? 30_000, stop, async (signal) => {
      const answer = await fetch(url, { ...init, credentials: 'omit', signal })
      return { answer, text: await answer.text() }
    })

  const ask: Sender['ask'] = async (server, url, stop, init) => {
    server.pacer!.calls++
    const { answer, text } = await request(url, stop, { ...init, headers: { Authorization, ...init.headers } })
    const wait = note(server.pacer!, answer.headers, now())
    if (wait) server.notBefore = now() + draw(wait)
    return { answer, text }
  }

  const attempt = (server: Server) => (server.failures ?? 0) + 1

  const failed = (server: Server, { delay, failover, why }: Verdict & { action: 'retry' }) => {
    server.failures = attempt(server)
    const until = now() + draw(delay)
    if (failover) server.until = until
    else server.notBefore = Math.max(server.notBefore ?? 0, until)
    trouble(new Error(why))
  }

  const ready = async (stop: AbortSignal) => {
    try {
      const { server, wait } = await servers.pick(now(), async (url) => (await request(url, stop)).text)
      const rest = Math.max(wait, (server.notBefore ?? 0) - now())
      if (rest > 0) await sleep(rest, stop)
      return server
    } catch (error) {
      trouble(error)
      await sleep(10, stop)
      return undefined
    }
  }

  /** Sends a batch once. */
  const post = async (server: Server, bodies: readonly string[], moves: number, stop: AbortSignal): Promise<Verdict | undefined> => {
    try {
      const body = envelope(bodies)
      const packed = await compress(body)
      const headers = { 'Content-Type': 'application/json', ...(packed && { 'Content-Encoding': 'gzip' }) }
      const init = { method: 'POST', headers, body: packed ?? body, redirect: platform.redirect! }
      const url = path(server, 'batch')
      const before = place.held
      const { answer, text } = await ask(server, url, stop, init)
      const verdict = judge(answer.status, answer.headers, text, bodies.length, attempt(server))
      place.learn(answer.headers.get(header), before, verdict.action === 'done' && verdict.outcomes.includes(undefined))
      const to = platform.moved(answer, url, moves)
      if (to) servers.move(to.split('/track/v2/')[0]!)
      return to && verdict.action !== 'done' ? undefined : verdict
    } catch (error) {
      return again(String(error), attempt(server), true)
    }
  }

  return {
    place,
    ready,
    ask,
    attempt,
    failed,
    use: (target, path) => servers.move(target.split(path)[0]!),
    server: () => servers.current()?.url ?? '',
    readyURL() {
      const server = servers.current()
      return server && !(server.until! > now() || server.notBefore! > now()) && path(server, 'batch')
    },
    async send(bodies, stop) {
      for (let moves = 0; ; ) {
        const server = await ready(stop)
        if (stop.aborted) return undefined
        const verdict = server && (await post(server, bodies, moves, stop))
        if (verdict?.action === 'retry') {
          if (!stop.aborted) failed(server!, verdict)
        } else if (verdict) {
          // A command with an unreadable result is sent again, though not at
          // once.
          const unread = verdict.action === 'done' && verdict.outcomes.includes(null)
          if (unread) failed(server!, again('Unreadable.', attempt(server!), false))
          else server!.failures = 0
          return verdict
        }
        moves = verdict ? 0 : moves + 1
      }
    },
    async time(stop) {
      const server = await ready(stop)
      if (!server || stop.aborted) throw new Error('The client is closed.')
      const { answer, text } = await ask(server, path(server, 'system/time'), stop, {})
      if (answer.ok) return (JSON.parse(text) as { time: number }).time
      throw new Error((judge(answer.status, answer.headers, text, 1, 1) as { why: string }).why)
    },
  }
}

/**
 * Runs something until it is done, a number of milliseconds have passed, or it
 * is stopped. The timer does not keep a Node process alive.
 */
async function within<T>(time: number, stop: AbortSignal, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const give = new AbortController()
  const up = () => give.abort()
  const timer = setTimeout(up, time)
  timer.unref?.()
  stop.addEventListener('abort', up, { signal: give.signal })
  try {
    const done = run(give.signal)
    if (stop.aborted) up() // now, because the event has already happened
    return await done
  } finally {
    clearTimeout(timer)
    up() // removes the listener
  }
}

const sleep = (seconds: number, stop: AbortSignal) =>
  within(seconds * 1000, stop, (signal) => new Promise((done) => signal.addEventListener('abort', done)))

/**
 * Returns a compressed body, or undefined if it is not worth it or the platform
 * cannot compress.
 */
async function compress(body: string): Promise<ArrayBuffer | undefined> {
  if (body.length < gzipFrom || !globalThis.CompressionStream) return undefined
  return new Response(new Blob([body]).stream().pipeThrough(new CompressionStream('gzip'))).arrayBuffer()
}
