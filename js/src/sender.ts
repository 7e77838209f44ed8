import { again, draw, judge, type Verdict } from './answer.ts'
import { Servers, type Server } from './servers.ts'
import type { Platform } from './client.ts'
import type { Options } from './types.ts'

/** Bytes from which a body is compressed. */
export const gzipFrom = 1024

const now = () => performance.now() / 1000

/** The body of a batch. */
export const envelope = (bodies: readonly string[]) => `{"commands":[${bodies.join()}]}`

/** Sends batches to a server: it chooses which, keeps to its pace, and tries again. */
export class Sender {
  readonly #servers: Servers

  constructor(
    private readonly options: Options,
    private readonly platform: Platform,
    private readonly trouble: (error: unknown) => void,
  ) {
    this.#servers = new Servers(options, platform.memo)
  }

  get server(): string {
    return this.#servers.current?.url ?? ''
  }

  /** The address for batches of the server in use, if it may be called now. */
  get readyURL(): string | undefined {
    const { current } = this.#servers
    return current && Math.max(current.until ?? 0, current.notBefore ?? 0) <= now() ? this.#path(current, 'batch') : undefined
  }

  /** Sends a batch until it is decided, or returns undefined once it is stopped. */
  async send(bodies: readonly string[], stop: AbortSignal): Promise<Exclude<Verdict, { action: 'retry' }> | undefined> {
    for (let moves = 0; !stop.aborted; ) {
      const server = await this.#ready(stop)
      if (!server) continue
      const verdict = await this.#post(server, bodies, moves, stop)
      if (verdict === 'moved') {
        moves++
        continue
      }
      moves = 0
      if (verdict.action !== 'retry') {
        server.failures = 0
        return verdict
      }
      if (!stop.aborted) this.#failed(server, verdict)
    }
    return undefined
  }

  /** Notes a failure: the server is left alone, or waited for if it is not at fault. */
  #failed(server: Server, verdict: Verdict & { action: 'retry' }): void {
    server.failures = (server.failures ?? 0) + 1
    const until = now() + draw(verdict.delay)
    if (verdict.failover) server.until = until
    else server.notBefore = Math.max(server.notBefore ?? 0, until)
    this.trouble(new Error(verdict.reason))
  }

  /** Notes that nothing is known of some commands of an answer, as after a failure. */
  unknown(): void {
    const { current } = this.#servers
    if (current) this.#failed(current, again('A result cannot be read.', (current.failures ?? 0) + 1, false) as Verdict & { action: 'retry' })
  }

  /** Asks the server for its time. */
  async time(stop: AbortSignal): Promise<number> {
    const server = await this.#ready(stop)
    if (!server) throw new Error('There is no server that can be asked.')
    server.pacer!.calls++
    const { answer, text } = await this.#fetch(this.#path(server, 'system/time'), stop, { headers: { Authorization: this.platform.authorization } })
    this.#pace(server, answer.headers)
    const verdict = judge(answer.status, answer.headers, text, 1, 1)
    if (!answer.ok && 'reason' in verdict) throw new Error(verdict.reason)
    return (JSON.parse(text) as { time: number }).time
  }

  /** Returns the server to call once it may be called; nothing if meanwhile there is another to be chosen, or a stop. */
  async #ready(stop: AbortSignal): Promise<Server | undefined> {
    try {
      const read = async (url: string) => (await this.#fetch(url, stop)).text
      const { server, wait } = await this.#servers.pick(now(), read)
      const at = Math.max(now() + wait, server.notBefore ?? 0)
      if (at > now()) await sleep(at - now(), stop)
      return stop.aborted ? undefined : server
    } catch (error) {
      this.trouble(error)
      await sleep(10, stop)
      return undefined
    }
  }

  /** Sends a batch once. */
  async #post(server: Server, bodies: readonly string[], moves: number, stop: AbortSignal): Promise<Verdict | 'moved'> {
    const url = this.#path(server, 'batch')
    const attempt = (server.failures ?? 0) + 1
    try {
      const headers: Record<string, string> = { Authorization: this.platform.authorization, 'Content-Type': 'application/json' }
      const body = envelope(bodies)
      const packed = await compress(body)
      if (packed) headers['Content-Encoding'] = 'gzip'
      server.pacer!.calls++
      const { answer, text } = await this.#fetch(url, stop, { method: 'POST', headers, body: packed ?? body, redirect: this.platform.redirect })
      this.#pace(server, answer.headers)
      const verdict = judge(answer.status, answer.headers, text, bodies.length, attempt)
      const to = this.platform.moved(answer, url, moves)
      if (to) this.#servers.move(new URL(to).origin)
      return to && verdict.action !== 'done' ? 'moved' : verdict
    } catch (error) {
      return again(String(error), attempt, true)
    }
  }

  /** Notes what an answer says of the limits. */
  #pace(server: Server, fields: Headers): void {
    const wait = server.pacer!.note(fields, now())
    if (wait) server.notBefore = now() + draw(wait)
  }

  #path({ url }: Server, route: string): string {
    return `${url}/track/v2/projects/${this.options.project}/${route}`
  }

  /** Makes a request and reads its answer, unless that takes too long. */
  #fetch(url: string, stop: AbortSignal, init: RequestInit = {}): Promise<{ answer: Response; text: string }> {
    return within(this.options.timeout ?? 30_000, stop, async (signal) => {
      const answer = await fetch(url, { ...init, credentials: 'omit', signal })
      return { answer, text: await answer.text() }
    })
  }
}

/** Does something until it is done, so many milliseconds have passed, or it is stopped. It does not keep a Node process from ending. */
async function within<T>(time: number, stop: AbortSignal, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const give = new AbortController()
  const up = () => give.abort()
  const timer = setTimeout(up, time)
  timer.unref?.()
  stop.addEventListener('abort', up)
  try {
    return await run(give.signal)
  } finally {
    clearTimeout(timer)
    stop.removeEventListener('abort', up)
  }
}

const sleep = (seconds: number, stop: AbortSignal) =>
  within(seconds * 1000, stop, (signal) => new Promise((done) => signal.addEventListener('abort', done)))

/** Returns a body compressed, or undefined where it is not worth while or the platform cannot. */
async function compress(body: string): Promise<ArrayBuffer | undefined> {
  if (body.length < gzipFrom || !globalThis.CompressionStream) return undefined
  return new Response(new Blob([body]).stream().pipeThrough(new CompressionStream('gzip'))).arrayBuffer()
}
