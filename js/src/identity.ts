/**
 * How many seconds after the last visit a browser's identifier is kept: two
 * years. Browsers may shorten this.
 */
const twoYears = 2 * 365 * 24 * 60 * 60

/**
 * Returns a random UUID (RFC 9562, section 5.4) with 120 random bits.
 * crypto.randomUUID exists only in pages that were loaded securely.
 */
const uuid = () =>
  '________-____-4___-8___-____________'.replace(/_/g, () => (crypto.getRandomValues(new Uint8Array(1))[0]! & 15).toString(16))

/**
 * Reads, sets or (with null) removes an entry of localStorage, which may be
 * inaccessible.
 */
export function stored(key: string, value?: string | null): string | undefined {
  try {
    if (value === null) localStorage.removeItem(key)
    else if (value !== undefined) localStorage.setItem(key, value)
    else return localStorage.getItem(key) ?? undefined
  } catch {
    // As if it did not exist.
  }
  return undefined
}

/**
 * The browser's identifier: a first-party cookie or, if the browser accepts no
 * cookie, an entry of localStorage.
 */
export interface Identity {
  /** Returns the identifier, if there is one. */
  find(): string | undefined
  /**
   * Returns the identifier, or a new one if the browser has none. The time for
   * which it is kept starts again.
   */
  keep(id?: string): string
  /** Removes the identifier. */
  clear(): void
}

export function newIdentity(name: string, domain?: string): Identity {
  /**
   * The identifier if none can be stored: until the page is left, it is still
   * the same visitor.
   */
  let own: string | undefined

  /**
   * Sets a cookie, if one is given, and returns all cookies. In some frames
   * (sandbox), this throws.
   */
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
    // Ignores texts that a script has written by mistake: they identify nobody,
    // and the server would ignore them.
    return [pair?.slice(name.length + 1), stored(name), own].find((id) => id?.trim() && !/^(null|undefined|NaN)$/.test(id))
  }
  return {
    find,
    keep(id = find() ?? uuid()) {
      // A copy must not outlive a cookie that its owner has removed.
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
