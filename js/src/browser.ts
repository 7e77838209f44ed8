import { fitting, named, newCore } from './core.ts'
import { newIdentity, stored } from './identity.ts'
import { newIndexedStore } from './idb.ts'
import { bytes } from './queue.ts'
import { envelope } from './sender.ts'
import { newObjectStore } from './store.ts'
import type { CallOptions, Client, Ids, Options, Properties } from './types.ts'

export type * from './types.ts'

/** The options of a client in a browser. */
export interface BrowserOptions extends Options {
  /** A public key. */
  key: string
  /**
   * With `required`, nothing is stored in the browser and nothing is sent
   * before `consent(true)`. Calls before that are lost. The identifier that is
   * created then also records the consent.
   */
  consent?: 'required'
  /**
   * Whether to do nothing at all in browsers that send "do not track" (DNT,
   * GPC).
   */
  doNotTrack?: boolean
  /**
   * The name of the cookie with the browser's identifier. Default:
   * `trackway_id`.
   */
  cookieName?: string
  /**
   * The domain of that cookie, such as `example.com` for all its subdomains.
   * Default: only the host of the page.
   */
  cookieDomain?: string
  /**
   * Whether to call `page()` now and whenever the page's address changes
   * without a load.
   */
  pageViews?: boolean
}

/** A client in a browser. */
export interface BrowserClient extends Client {
  /**
   * Adds an event `page_visit` with the page's location, title and referrer.
   */
  page(properties?: Properties, options?: CallOptions): Promise<boolean>
  /**
   * Gives or withdraws consent. Withdrawing removes what is stored in the
   * browser; what was not sent is lost.
   */
  consent(given: boolean): Promise<void>
  /**
   * Forgets who was identified, as after a logout. From now on, this browser is
   * a new customer.
   */
  reset(): void
  /** The browser's identifier, or undefined if it has none. */
  readonly id: string | undefined
}

/**
 * The most bytes in one request after a page was closed. All such requests
 * together may have 64 KiB.
 */
const maxParting = 60_000

/** Returns a client that sends from this page. */
export function createClient(options: BrowserOptions): BrowserClient {
  const { project, key, consent, doNotTrack, pageViews } = options
  const name = 'trackway:' + project
  const memory = name + ':server'
  const identity = newIdentity(options.cookieName ?? 'trackway_id', options.cookieDomain)
  /** The identifiers of the last call of identify. */
  let known: Ids = {}
  /** The last withdrawal of consent, which may be under way. */
  let wiping: Promise<void> | undefined
  /** The address of the last page view. */
  let last = ''

  /** Another page may withdraw consent: it removes the identifier. */
  const allowed = (given = !consent || !!identity.find()) => {
    const { globalPrivacyControl, doNotTrack: dnt } = navigator as Navigator & { globalPrivacyControl?: boolean }
    return given && !(doNotTrack && (globalPrivacyControl || dnt === '1'))
  }

  const core = newCore(options, {
    open: () => newIndexedStore(name).catch(() => newObjectStore(localStorage, name + ':queue:', true)),
    authorization: 'Token ' + key,
    // A browser follows a redirect with a GET or without our key, so we send
    // the batch again to the target.
    moved: (answer, _, moves) => (answer.redirected && moves < 5 ? answer.url : undefined),
    whom: (ids) => (allowed() ? { cookie: identity.keep(), ...known, ...ids } : {}),
    allowed,
    // If nothing may be stored, as in a sandbox or with all cookies blocked,
    // nothing is shared, and there are no locks either.
    lock:
      navigator.locks &&
      ((run, signal) =>
        navigator.locks.request(name, { signal }, run).catch((error: Error) => {
          if (error.name !== 'SecurityError') throw error
          return run()
        })),
    memo: (url) => (allowed() ? stored(memory, url) : undefined),
  })
  const { queue, sender, start, wipe } = core

  /** Begins, if that is allowed: sends what is left from before. */
  const begin = (given?: boolean) => {
    if (!allowed(given)) return
    identity.keep()
    void start()
  }

  const look = () => {
    if (location.href !== last) void client.page()
  }

  /**
   * Sends the waiting commands in a way that outlives the page. They stay in
   * the queue: if the page stays or comes back, they are sent as usual.
   */
  const part = () => {
    const url = sender.readyURL()
    if (!url || !allowed()) return
    // The request has no header or media type that would need a preflight:
    // there may be no time for one.
    const to = url + '?access_token=' + encodeURIComponent(key)
    const left = [...queue.own.values()].filter(({ parted }) => !parted)
    while (left.length) {
      const some = left.splice(0, fitting(left.map(({ body }) => bytes(body)), maxParting))
      const body = envelope(some.map((entry) => ((entry.parted = true), entry.body)))
      if ('keepalive' in Request.prototype) void fetch(to, { method: 'POST', body, keepalive: true, credentials: 'omit' }).catch(() => {})
      else navigator.sendBeacon(to, body)
    }
  }

  const client = {
    __proto__: core.client,
    identify(who: string | Ids, properties: Properties = {}, options?: CallOptions) {
      if (allowed()) known = { ...known, ...named(who) }
      return client.update(properties, options)
    },
    page(properties?: Properties, options?: CallOptions) {
      const { title, referrer } = document
      const before = last || referrer
      last = location.href
      return client.track('page_visit', { location: last, title, referrer: before, ...properties }, options)
    },
    reset() {
      known = {}
      if (!allowed()) return
      identity.clear()
      identity.keep()
    },
    async consent(given: boolean) {
      if (given) {
        if (wiping) await wiping.catch(() => {}) // it would remove what comes now
        return begin(true)
      }
      identity.clear()
      known = {}
      stored(memory, null)
      await (wiping = wipe())
    },
    get id() {
      return identity.find()
    },
  } as unknown as BrowserClient

  addEventListener('pagehide', part)
  addEventListener('visibilitychange', () => document.hidden && part())
  begin()
  if (pageViews) {
    // Scripts change the page's address as well as users. Browsers without the
    // navigation API report only changes by users.
    const { navigation } = globalThis as { navigation?: EventTarget }
    navigation?.addEventListener('currententrychange', look)
    addEventListener('popstate', look)
    look()
  }
  return client
}
