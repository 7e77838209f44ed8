/** Seconds that the identifier of a browser is kept from the last visit: two years, of which browsers may grant less. */
const twoYears = 2 * 365 * 24 * 60 * 60

/** A random UUID (version 4). Pages that were not loaded securely have no crypto.randomUUID. */
const uuid = () =>
  '10000000-1000-4000-8000-100000000000'.replace(/[018]/g, (digit) =>
    (+digit ^ (crypto.getRandomValues(new Uint8Array(1))[0]! & (15 >> (+digit / 4)))).toString(16),
  )

/** What a browser is known by: a first-party cookie, or where it takes none, an entry of localStorage. */
export class Identity {
  constructor(
    private readonly name: string,
    private readonly domain: string | undefined,
  ) {}

  /** Returns the identifier, if there is one. */
  get(): string | undefined {
    const pair = document.cookie.split('; ').find((cookie) => cookie.startsWith(this.name + '='))
    return pair?.slice(this.name.length + 1) || stored(this.name)
  }

  /** Returns the identifier. A new one is made if there is none; its time begins anew. */
  keep(id = this.get() ?? uuid()): string {
    this.#cookie(id, twoYears)
    // A copy that would outlive a cookie that its owner removed is not wanted.
    if (!document.cookie.includes(id)) stored(this.name, id)
    return id
  }

  /** Returns a new identifier: from now on this browser is somebody else's. */
  renew(): string {
    this.clear()
    return this.keep(uuid())
  }

  /** Removes it. */
  clear(): void {
    this.#cookie('', 0)
    stored(this.name, null)
  }

  #cookie(value: string, age: number): void {
    const domain = this.domain ? '; Domain=' + this.domain : ''
    const secure = location.protocol === 'https:' ? '; Secure' : ''
    document.cookie = `${this.name}=${value}; Max-Age=${age}; Path=/; SameSite=Lax${domain}${secure}`
  }
}

/** Reads, sets or (null) removes an entry of localStorage, which may be out of reach. */
export function stored(key: string, value?: string | null): string | undefined {
  try {
    if (value === null) localStorage.removeItem(key)
    else if (value !== undefined) localStorage.setItem(key, value)
    else return localStorage.getItem(key) ?? undefined
  } catch {
    // As if it was not there.
  }
  return undefined
}
