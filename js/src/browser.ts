import { fitting, named, newCore } from './core.ts'
import { newIdentity, stored } from './identity.ts'
import { newIndexedStore } from './idb.ts'
import { bytes } from './queue.ts'
import { envelope } from './sender.ts'
import { newObjectStore } from './store.ts'
import type { CallOptions, Client, Ids, Options, Properties } from './types.ts'

export type * from './types.ts'

/** What a client in a browser is made of. */
export interface BrowserOptions extends Options {
  /** A public key. */
  key: string
  /**
   * With `required`, nothing is stored in the browser and nothing is sent before `consent(true)`. What is called before is lost.
   * Consent is remembered by the identifier that is then there.
   */
  consent?: 'required'
  /** Whether browsers that say "do not track" (DNT, GPC) are left alone altogether. */
  doNotTrack?: boolean
  /** The name of the cookie that holds the browser's identifier. `trackway_id`. */
  cookieName?: string
  /** The domain of that cookie, such as `example.com` for all its subdomains. The host of the page alone if it is left out. */
  cookieDomain?: string
  /** Whether `page()` is called now and whenever the page's address changes without a load. */
  pageViews?: boolean
}

/** A client in a browser. */
export interface BrowserClient extends Client {
  /** Adds an event `page_visit` with the page's location, title and referrer. */
  page(properties?: Properties, options?: CallOptions): Promise<boolean>
  /** Gives consent, or withdraws it: then what is stored in the browser is removed, and what was not sent is lost. */
  consent(given: boolean): Promise<void>
  /** Forgets who was identified, as after a logout: from now on this browser is a new customer. */
  reset(): void
  /** The browser's identifier, unless it has none. */
  readonly id: string | undefined
}

/** The most bytes that one request may have after a page was closed: all of them together may have 64 KiB. */
const maxParting = 60_000

/** Returns a client that sends from this page. */
export function createClient(options: BrowserOptions): BrowserClient {
  const { project, key, consent, doNotTrack, pageViews } = options
  const name = 'trackway:' + project
  const memory = name + ':server'
  const identity = newIdentity(options.cookieName ?? 'trackway_id', options.cookieDomain)
  /** Who was identified. */
  let known: Ids = {}
  /** The withdrawal of consent that is under way, or the last one. */
  let wiping: Promise<void> | undefined
  /** The address of the last page view. */
  let last = ''

  /** Consent may be withdrawn in another page, which removes the identifier. */
  const allowed = (given = !consent || !!identity.find()) => {
    const { globalPrivacyControl, doNotTrack: dnt } = navigator as Navigator & { globalPrivacyControl?: boolean }
    return given && !(doNotTrack && (globalPrivacyControl || dnt === '1'))
  }

  const core = newCore(options, {
    open: () => newIndexedStore(name).catch(() => newObjectStore(localStorage, name + ':queue:', true)),
    authorization: 'Token ' + key,
    // A browser follows a redirect by a GET or without our key: the batch is sent anew to where it led.
    moved: (answer, _, moves) => (answer.redirected && moves < 5 ? answer.url : undefined),
    whom: (ids) => (allowed() ? { cookie: identity.keep(), ...known, ...ids } : {}),
    allowed,
    // Where nothing may be stored, as in a sandbox or with all cookies blocked, nothing is shared, nor are there locks.
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

  /** Begins, where that is allowed: what is left from before is sent. */
  const begin = (given?: boolean) => {
    if (!allowed(given)) return
    identity.keep()
    void start()
  }

  const look = () => {
    if (location.href !== last) void client.page()
  }

  /** Sends what waits in a way that outlives the page. It stays in the queue: if the page stays, or comes back, it is sent as usual. */
  const part = () => {
    const url = sender.readyURL()
    if (!url || !allowed()) return
    // Neither a header nor a media type that the browser would have to ask for first: there may be no time.
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
    // Scripts change the page's address as well as users. Browsers without the navigation API tell of the latter only.
    const { navigation } = globalThis as { navigation?: EventTarget }
    navigation?.addEventListener('currententrychange', look)
    addEventListener('popstate', look)
    look()
  }
  return client
}
