/** Seconds that the identifier of a browser is kept from the last visit: two years, of which browsers may grant less. */
const twoYears = 2 * 365 * 24 * 60 * 60

/** Returns a random UUID (RFC 9562, section 5.4), with 120 random bits. crypto.randomUUID is for pages loaded securely only. */
const uuid = () =>
  '________-____-4___-8___-____________'.replace(/_/g, () => (crypto.getRandomValues(new Uint8Array(1))[0]! & 15).toString(16))

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

/** What a browser is known by: a first-party cookie, or where it takes none, an entry of localStorage. */
export interface Identity {
  /** Returns the identifier, if there is one. */
  find(): string | undefined
  /** Returns the identifier, or a new one if there is none. Its time begins anew. */
  keep(id?: string): string
  /** Removes it. */
  clear(): void
}

export function newIdentity(name: string, domain?: string): Identity {
  /** The identifier where none can be stored: until the page is left, it is still one visitor's. */
  let own: string | undefined

  /** Sets a cookie, if there is one to set, and returns all. In some frames (sandbox) there are none, and asking throws. */
  const cookies = (set?: string) => {
    try {
      if (set) document.cookie = set
      return document.cookie
    } catch {
      return ''
    }
  }
  const write = (value: string, age: number) => {
    const scope = (domain ? '; Domain=' + domain : '') + (location.protocol === 'https:' ? '; Secure' : '')
    return cookies(`${name}=${value}; Max-Age=${age}; Path=/; SameSite=Lax${scope}`)
  }
  const find = () => {
    const pair = cookies()
      .split('; ')
      .find((cookie) => cookie.startsWith(name + '='))
    // What a script has written there by mistake would be nobody's: the server leaves it out.
    return [pair?.slice(name.length + 1), stored(name), own].find((id) => id?.trim() && !/^(null|undefined|NaN)$/.test(id))
  }
  return {
    find,
    keep(id = find() ?? uuid()) {
      // A copy that would outlive a cookie that its owner removed is not wanted.
      if (!write(id, twoYears).includes(id)) stored(name, id)
      own = undefined
      if (!find()) own = id
      return id
    },
    clear() {
      write('', 0)
      stored(name, null)
      own = undefined
    },
  }
}
