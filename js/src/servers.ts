// Chooses the server to use. openapi/vectors/servers.json tests these rules.

import { newPacer, type Pacer } from './pace.ts'
import type { Options } from './types.ts'

/**
 * A tracking server as listed, and our experience with it. Times are in
 * seconds.
 */
export interface Server {
  url: string
  name: string
  region: string
  state: string
  /** It has failed, and is not asked before then. */
  until?: number
  /** It asked for no requests before then. */
  notBefore?: number
  /** Failures in a row. */
  failures?: number
  pacer?: Pacer
}

/** Remembers the chosen server. Sets it if url is given, and returns it. */
export type Memo = (url?: string) => string | undefined

/** A list of servers is read again after this many seconds, if necessary. */
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
  // The lower, the better: the server in use, those of the region by their
  // state, all others by their state, those that have to wait.
  const rank = (s: Server) =>
    s.until! > now
      ? 9 + s.until! - now
      : s.url === current
        ? 0
        : 1 + (want.region && want.region !== s.region ? 3 : 0) + (s.state === 'up' ? 0 : s.state === 'service' ? 1 : 2)
  const best = Math.min(...named.map(rank))
  return { from: named.filter((s) => rank(s) === best), wait: best > 9 ? best - 9 : 0 }
}

/**
 * Reads an answer of /api/servers. If it lists no usable server, the server
 * that was asked is the only one.
 */
export function listed(asked: string, answer: string): Server[] {
  let found: Server[] = []
  try {
    found = (JSON.parse(answer) as { servers: Partial<Server>[] }).servers
      .map(({ url, name = '', region = '', state = '' }) => ({ url: bare(url || asked), name, region, state }))
      .filter(({ url }) => /^https?:\/\/[^/]/.test(url) && (/^https:/.test(url) || !/^https:/.test(asked)))
  } catch {
    // The answer is not from a tracking server.
  }
  return found.length ? found : [newServer(asked)]
}

/**
 * The known servers, and the one in use. It is drawn at random, and kept until
 * it fails.
 */
export interface Servers {
  /**
   * Returns the server in use, and chooses it if necessary. Returns undefined
   * while only its name is known.
   */
  current(): Server | undefined
  /**
   * Returns the server to call, and how long to wait before that. Reads a list
   * first, and again after the server in use has failed.
   */
  pick(now: number, read: (url: string) => Promise<string>): Promise<{ server: Server; wait: number }>
  /** Switches to the target of a redirect. */
  move(url: string): void
}

export function newServers({ url, servers, server: name, region }: Options, memo?: Memo): Servers {
  const address = typeof servers === 'string' && bare(servers)
  let all = (address ? [address] : ((servers as string[]) ?? [url])).map(newServer)
  let current: Server | undefined
  let age = -Infinity

  /**
   * Uses a server from now on. The limits of the server before do not apply to
   * it.
   */
  const use = (next: Server) => {
    current = next
    next.pacer = newPacer()
    if (all[1]) memo?.(next.url)
  }

  /**
   * Reads the list. Servers that are still in it keep what we know about them.
   * An unreadable answer does not replace the list.
   */
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
