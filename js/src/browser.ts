import { Core, fitting, named } from './client.ts'
import { Identity, stored } from './identity.ts'
import { IndexedStore } from './idb.ts'
import { bytes } from './queue.ts'
import { envelope } from './sender.ts'
import { ObjectStore, type Store } from './store.ts'
import type { CallOptions, Client, Command, Ids, Options, Properties } from './types.ts'

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

class Browser extends Core implements BrowserClient {
  readonly #options: BrowserOptions
  readonly #identity: Identity
  /** Who was identified. */
  #known: Ids = {}
  /** What was sent when the page was hidden, and is not sent that way again. */
  readonly #parted = new Set<string>()
  #url = ''

  constructor(options: BrowserOptions) {
    const name = 'trackway:' + options.project
    super(options, {
      open: () => open(name),
      authorization: 'Token ' + options.key,
      redirect: 'follow',
      // A browser follows a redirect by a GET or without our key: the batch is sent anew to where it led.
      moved: (answer, _, moves) => (answer.redirected && moves < 5 ? answer.url : undefined),
      ...(navigator.locks && { lock: (run, signal) => navigator.locks.request(name, { signal }, run) }),
      memo: { get: () => stored(name + ':server'), set: (url) => this.#allowed && stored(name + ':server', url) },
    })
    this.#options = options
    this.#identity = new Identity(options.cookieName ?? 'trackway_id', options.cookieDomain)
    addEventListener('pagehide', () => this.#part())
    document.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && this.#part())
    if (this.#allowed) this.#begin()
    if (options.pageViews) this.#watch()
  }

  /** Sends what is left from before. */
  #begin(): void {
    this.#identity.keep()
    void this.start()
  }

  get id(): string | undefined {
    return this.#identity.get()
  }

  /** Whether anything may be stored or sent. Consent may be withdrawn in another page. */
  get #allowed(): boolean {
    const { doNotTrack, consent } = this.#options
    const { globalPrivacyControl } = navigator as { globalPrivacyControl?: boolean }
    if (doNotTrack && (globalPrivacyControl || navigator.doNotTrack === '1')) return false
    return consent !== 'required' || !!this.id
  }

  protected override whom(ids?: Ids): Ids {
    return this.#allowed ? { cookie: this.#identity.keep(), ...this.#known, ...ids } : {}
  }

  protected override async push(command: Command): Promise<boolean> {
    return this.#allowed ? super.push(command) : this.queue.reject(command, 'consent', 'There is no consent.')
  }

  override async start(): Promise<void> {
    if (this.#allowed) await super.start()
  }

  override identify(who: string | Ids, properties: Properties = {}, options: CallOptions = {}): Promise<boolean> {
    if (this.#allowed) this.#known = { ...this.#known, ...named(who) }
    return this.update(properties, options)
  }

  reset(): void {
    this.#known = {}
    if (this.#allowed) this.#identity.renew()
  }

  async consent(given: boolean): Promise<void> {
    if (given) {
      if (this.#options.consent) this.#identity.keep()
      if (this.#allowed) this.#begin()
      return
    }
    this.#identity.clear()
    this.#known = {}
    stored(`trackway:${this.#options.project}:server`, null)
    await this.wipe()
  }

  page(properties: Properties = {}, options?: CallOptions): Promise<boolean> {
    const { title, referrer } = document
    const before = this.#url || referrer
    this.#url = location.href
    return this.track('page_visit', { location: location.href, title, referrer: before, ...properties }, options)
  }

  /** Follows the page's address, which scripts change by pushState and users by going back. */
  #watch(): void {
    const look = () => {
      if (location.href !== this.#url) void this.page()
    }
    for (const name of ['pushState', 'replaceState'] as const) {
      const change = history[name].bind(history)
      history[name] = (...how) => {
        change(...how)
        look()
      }
    }
    addEventListener('popstate', look)
    look()
  }

  /** Sends what waits in a way that outlives the page. It stays in the queue: if the page stays, or comes back, it is sent as usual. */
  #part(): void {
    const url = this.sender.readyURL
    if (!url || !this.#allowed) return
    // Neither a header nor a media type that the browser would have to ask for first: there may be no time.
    const to = url + '?access_token=' + encodeURIComponent(this.#options.key)
    const left = [...this.queue.own].filter(([id]) => !this.#parted.has(id))
    while (left.length) {
      const some = left.splice(0, fitting(left.map(([, { body }]) => bytes(body)), maxParting)) // prettier-ignore
      const body = envelope(some.map(([id, entry]) => (this.#parted.add(id), entry.body)))
      if ('keepalive' in Request.prototype) void fetch(to, { method: 'POST', body, keepalive: true, credentials: 'omit' }).catch(() => {})
      else navigator.sendBeacon(to, body)
    }
  }
}

/** Opens the best store there is. */
async function open(name: string): Promise<Store> {
  try {
    return await IndexedStore.open(name)
  } catch {
    return new ObjectStore(localStorage, name + ':queue:', true) // or, if that throws too, memory
  }
}

/** Returns a client that sends from this page. */
export const createClient = (options: BrowserOptions): BrowserClient => new Browser(options)
