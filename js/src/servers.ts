// Which server to use. Held to openapi/vectors/servers.json.

import { newPacer, type Pacer } from './pace.ts'
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

/** Remembers the choice of a server: sets it where there is one to set, and returns it. */
export type Memo = (url?: string) => string | undefined

/** Seconds after which a list of servers is read again, if there is need. */
const refresh = 10

const bare = (url: string) => url.replace(/\/+$/, '')
const newServer = (url: string): Server => ({ url: bare(url), name: '', region: '', state: 'up' })

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
  return found.length ? found : [newServer(asked)]
}

/** The servers that there are, and the one in use: it is drawn, then kept until it fails. */
export interface Servers {
  /** Returns the one in use, and chooses it if need be. There is none as long as it is known by name only. */
  current(): Server | undefined
  /** Returns the server to call, and how long to wait before. A list is read first, and again if the server in use failed. */
  pick(now: number, read: (url: string) => Promise<string>): Promise<{ server: Server; wait: number }>
  /** Turns to where a redirect leads. */
  move(url: string): void
}

export function newServers({ url, servers, server: name, region }: Options, memo?: Memo): Servers {
  const address = typeof servers === 'string' && bare(servers)
  let all = (address ? [address] : ((servers as string[]) ?? [url])).map(newServer)
  let current: Server | undefined
  let age = -Infinity

  /** Keeps to a server from now on. What was learned of the limits of the one before does not hold for it. */
  const use = (next: Server) => {
    current = next
    next.pacer = newPacer()
    if (all[1]) memo?.(next.url)
  }

  /** Reads the list. What is known of servers that stay holds, and an answer that cannot be read does not undo a list. */
  const refreshed = async (address: string, now: number, read: (url: string) => Promise<string>) => {
    const list = listed(address, await read(address + '/api/servers').catch(() => ''))
    age = now
    if (list[0]!.name) all = list.map((s) => Object.assign(all.find(({ url }) => url === s.url) ?? s, s))
  }

  const choose = (now: number) => {
    const before = current?.url
    const { from, wait } = candidates(all, before, { name, region }, now)
    const kept = before ?? memo?.()
    const next = from.find(({ url }) => url === kept) ?? from[(Math.random() * from.length) | 0]
    if (!next) throw new Error(`There is no server ${name}.`)
    if (next !== current) use(next)
    return { server: next, wait: wait || (before && next.url !== before ? Math.random() / 2 : 0) }
  }

  return {
    current: () => current ?? (name ? undefined : choose(0).server),
    async pick(now, read) {
      if (address && now - age > refresh && !(current && !(current.until! > now))) await refreshed(address, now, read)
      return choose(now)
    },
    move(url) {
      const next = all.find((s) => s.url === url) ?? newServer(url)
      if (!all.includes(next)) all.push(next)
      use(next)
    },
  }
}
