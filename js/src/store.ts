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

/** Keeps the queue in the properties of an object: of localStorage, or where nothing lasts, of any. */
export class ObjectStore implements Store {
  /** Throws where the object takes no properties. */
  constructor(
    private readonly object: Record<string, string>,
    private readonly prefix = '',
    readonly kept = false,
  ) {
    object[prefix] = ''
    delete object[prefix]
  }

  #keys(): string[] {
    return Object.keys(this.object).filter((key) => key.startsWith(this.prefix))
  }

  async add(entries: readonly Entry[]): Promise<void> {
    for (const { id, body } of entries) this.object[this.prefix + id] = body
  }

  async take(n: number): Promise<Entry[]> {
    const keys = this.#keys().sort().slice(0, n)
    return keys.map((key) => ({ id: key.slice(this.prefix.length), body: this.object[key]! }))
  }

  async remove(ids: readonly string[]): Promise<void> {
    for (const id of ids) delete this.object[this.prefix + id]
  }

  async size(): Promise<number> {
    return this.#keys().length
  }

  async wipe(): Promise<void> {
    for (const key of this.#keys()) delete this.object[key]
  }

  async close(): Promise<void> {}
}
