// Which server to use. Held to openapi/vectors/servers.json.

import { Pacer } from './pace.ts'
import type { Options } from './types.ts'

/** One tracking server, as it is listed, and how it went with it. Times are in seconds. */
export interface Server {
  url: string
  name: string
  region: string
  state: string
  /** It failed, and is left alone until then. */
  until?: number
  /** It wants no request of ours before then. */
  notBefore?: number
  /** Failures in a row. */
  failures?: number
  pacer?: Pacer
}

/** Where the choice of a server is remembered. */
export interface Memo {
  get(): string | null | undefined
  set(url: string): void
}

/** Seconds after which a list of servers is read again, if there is need. */
const refresh = 10

const bare = (url: string) => url.replace(/\/+$/, '')
const server = (url: string): Server => ({ url: bare(url), name: '', region: '', state: 'up' })

/** Returns the servers to draw from, and how long to wait for them. */
export function candidates(
  all: readonly Server[],
  current: string | undefined,
  want: { name?: string | undefined; region?: string | undefined },
  now: number,
): { from: Server[]; wait: number } {
  const named = all.filter((s) => !want.name || s.name === want.name)
  // The lower the better: the one in use, those of the region by their state, all others by their state, those to be waited for.
  const rank = (s: Server) =>
    s.until! > now
      ? 9 + s.until! - now
      : s.url === current
        ? 0
        : 1 + (want.region && want.region !== s.region ? 3 : 0) + (s.state === 'up' ? 0 : s.state === 'service' ? 1 : 2)
  const best = Math.min(...named.map(rank))
  return { from: named.filter((s) => rank(s) === best), wait: best > 9 ? best - 9 : 0 }
}

/** Reads an answer of /api/servers. Where it lists no server that can be used, the one that was asked is the only one. */
export function listed(asked: string, answer: string): Server[] {
  let found: Server[] = []
  try {
    found = (JSON.parse(answer) as { servers: Partial<Server>[] }).servers
      .map(({ url, name = '', region = '', state = '' }) => ({ url: bare(url || asked), name, region, state }))
      .filter(({ url }) => /^https?:\/\/[^/]/.test(url) && (/^https:/.test(url) || !/^https:/.test(asked)))
  } catch {
    // Not an answer of ours.
  }
  return found.length ? found : [server(asked)]
}

/** The servers that there are, and the one in use: it is drawn, then kept until it fails. */
export class Servers {
  /** The one in use. */
  current: Server | undefined
  #all: Server[] = []
  readonly #want: { name?: string | undefined; region?: string | undefined }
  readonly #address: string | undefined
  #read = -Infinity
  readonly #memo: Memo | undefined

  constructor({ url, servers, server: name, region }: Options, memo?: Memo) {
    if (typeof servers === 'string') this.#address = bare(servers)
    else this.#all = (servers ?? [url!]).map(server)
    this.#want = { name, region }
    this.#memo = memo
  }

  /** Returns the server to call, and how long to wait before. A list is read first, and again if the server in use failed. */
  async pick(now: number, read: (url: string) => Promise<string>): Promise<{ server: Server; wait: number }> {
    const { current } = this
    if (this.#address && now - this.#read > refresh && !(current && !(current.until! > now))) {
      this.#list(listed(this.#address, await read(this.#address + '/api/servers').catch(() => '')))
      this.#read = now
    }
    const { from, wait } = candidates(this.#all, current?.url, this.#want, now)
    const before = this.#memo?.get()
    const next = from.find(({ url }) => url === (current?.url ?? before)) ?? from[Math.floor(Math.random() * from.length)]
    if (!next) throw new Error(`There is no server ${this.#want.name}.`)
    if (next !== current) this.use(next)
    return { server: next, wait: wait || (current && next.url !== current.url ? Math.random() / 2 : 0) }
  }

  /** Takes over a list; of the servers that stay, what is known of them holds. An unreadable answer does not undo a list. */
  #list(all: Server[]): void {
    if (all[0]!.name === '' && this.#all.length) return
    this.#all = all.map((s) => Object.assign(this.#all.find(({ url }) => url === s.url) ?? s, s))
  }

  /** Keeps to a server from now on. What was learned of the limits of the one before does not hold for it. */
  use(next: Server): void {
    this.current = next
    next.pacer = new Pacer()
    this.#memo?.set(next.url)
  }

  /** Turns to where a redirect leads. */
  move(url: string): void {
    const next = this.#all.find((s) => s.url === url) ?? server(url)
    if (!this.#all.includes(next)) this.#all.push(next)
    this.use(next)
  }
}
