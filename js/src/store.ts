/** A command in the queue: the body is its JSON, ids sort by age. */
export interface Entry {
  id: string
  body: string
}

/** Where the queue is kept. Calls may overlap; each takes effect in the order in which they were made. */
export interface Store {
  /** Whether what is stored outlives the page or process. */
  readonly kept: boolean
  /** Adds entries. They are kept once it resolves. */
  add(entries: readonly Entry[]): Promise<void>
  /** Returns the n oldest entries. */
  take(n: number): Promise<Entry[]>
  /** Removes entries. Those that are not there are left out. */
  remove(ids: readonly string[]): Promise<void>
  /** Returns how many there are. */
  size(): Promise<number>
  /** Removes everything, the store itself as well where there is one. */
  wipe(): Promise<void>
  /** Ends the use of it. */
  close(): Promise<void>
}

/**
 * Returns a store in the properties of an object: of localStorage, or where nothing lasts, of any. Throws where the object takes
 * no properties.
 */
export function newObjectStore(object: Record<string, string>, prefix = '', kept = false): Store {
  object[prefix] = ''
  delete object[prefix]
  const keys = () => Object.keys(object).filter((key) => key.startsWith(prefix))
  const drop = (some: readonly string[]) => some.forEach((key) => delete object[key])
  return {
    kept,
    add: async (entries) => entries.forEach(({ id, body }) => (object[prefix + id] = body)),
    take: async (n) =>
      keys()
        .sort()
        .slice(0, n)
        .map((key) => ({ id: key.slice(prefix.length), body: object[key]! })),
    remove: async (ids) => drop(ids.map((id) => prefix + id)),
    size: async () => keys().length,
    wipe: async () => drop(keys()),
    close: async () => {},
  }
}
