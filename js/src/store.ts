/** A command in the queue. body is its JSON; ids sort by age. */
export interface Entry {
  id: string
  body: string
}

/**
 * The storage of the queue. Calls may overlap, and take effect in the order in
 * which they were made.
 */
export interface Store {
  /** Whether the content outlives the page or process. */
  readonly kept: boolean
  /** Adds entries. They are stored once the promise resolves. */
  add(entries: readonly Entry[]): Promise<void>
  /** Returns the n oldest entries. */
  take(n: number): Promise<Entry[]>
  /** Removes entries. Missing ones are ignored. */
  remove(ids: readonly string[]): Promise<void>
  /** Returns the number of entries. */
  size(): Promise<number>
  /** Removes everything, including the storage itself if there is one. */
  wipe(): Promise<void>
  /** Closes the store. */
  close(): Promise<void>
}

/**
 * Returns a store in the properties of an object. That is localStorage, or any
 * object if the browser keeps nothing. Throws if the object accepts no
 * properties.
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
