/** Seconds that the identifier of a browser is kept from the last visit: two years, of which browsers may grant less. */
const twoYears = 2 * 365 * 24 * 60 * 60

/** A random UUID (version 4). Pages that were not loaded securely have no crypto.randomUUID. */
const uuid = () =>
  '10000000-1000-4000-8000-100000000000'.replace(/[018]/g, (digit) =>
    (+digit ^ (crypto.getRandomValues(new Uint8Array(1))[0]! & (15 >> (+digit / 4)))).toString(16),
  )

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
  const write = (value: string, age: number) => {
    const scope = (domain ? '; Domain=' + domain : '') + (location.protocol === 'https:' ? '; Secure' : '')
    document.cookie = `${name}=${value}; Max-Age=${age}; Path=/; SameSite=Lax${scope}`
  }
  const find = () => {
    const pair = document.cookie.split('; ').find((cookie) => cookie.startsWith(name + '='))
    return pair?.slice(name.length + 1) || stored(name)
  }
  return {
    find,
    keep(id = find() ?? uuid()) {
      write(id, twoYears)
      // A copy that would outlive a cookie that its owner removed is not wanted.
      if (!document.cookie.includes(id)) stored(name, id)
      return id
    },
    clear() {
      write('', 0)
      stored(name, null)
    },
  }
}
