import { micros } from './clock.ts'
import { ObjectStore, type Entry, type Store } from './store.ts'
import type { Command, Options, Rejection } from './types.ts'

/** The most bytes that the JSON of a command's data may have. */
const maxData = 800_000

const encoder = new TextEncoder()

/** Returns how many bytes a text has in UTF-8. */
export const bytes = (text: string) => encoder.encode(text).length

/** Whether data of such a size is taken by any server. */
export const taken = (size: number) => size <= maxData

/** The commands that are not known to be delivered: those of this client, and what else there is in the store. */
export class Queue {
  rejected = 0
  /** Whether it outlives the page or process. */
  kept = false
  /** Those of this client. Only what is stored may have been delivered by another page. */
  readonly own = new Map<string, { body: string; stored: boolean }>()
  /** How many others there are: from before, or of other pages. */
  #others = 0
  #store: Promise<Store> | undefined
  #adding: Entry[] = []
  #saving: Promise<void> | undefined
  #taken: string[] = []
  #waiting: (() => void)[] = []
  #closed = false

  constructor(
    private readonly options: Options,
    private readonly open: () => Store | Promise<Store>,
  ) {}

  get size(): number {
    return this.own.size + this.#others
  }

  /** Resolves once all that was put into the queue is stored. */
  get saved(): Promise<void> | undefined {
    return this.#saving
  }

  /** Puts a command into the queue. Resolves to true once it is stored, or to false if it is turned away. */
  async push(command: Command): Promise<boolean> {
    const body = this.#encode(command)
    if (!body) return false
    const id = micros().toString(36) + Math.random().toString(36).slice(2, 8).padEnd(6, '0')
    const { maxQueued = 10_000, whenFull } = this.options
    while (this.size >= maxQueued && !this.#closed) {
      if (whenFull === 'block') await new Promise<void>((room) => this.#waiting.push(room))
      else if (whenFull !== 'drop-oldest' || !(await this.#dropOldest())) return this.reject(command, 'full', 'The queue is full.')
    }
    if (this.#closed) return this.reject(command, 'closed', 'The client is closed.')
    this.own.set(id, { body, stored: false })
    await this.#save({ id, body })
    return true
  }

  /** Returns the JSON of a command that may be sent, or nothing. What else may be wrong with it, the server says. */
  #encode(command: Command): string | undefined {
    try {
      const data = JSON.stringify(command.data)
      // Most are so short that their bytes need not be counted: a character has three at most.
      if (data.length * 3 > maxData && !taken(bytes(data))) throw new RangeError(`An event may have at most ${maxData} bytes.`)
      return `{"name":"${command.name}","data":${data}}`
    } catch (error) {
      this.reject(command, 'invalid', String(error))
      return undefined
    }
  }

  /** Counts and tells a command that will never be delivered. What the owner's function throws does not stop us. */
  reject(command: Command, code: Rejection['code'], reason: string): false {
    this.rejected++
    queueMicrotask(() => this.options.onReject?.({ command, code, reason }))
    return false
  }

  /** Tells of trouble that passes. */
  trouble(error: unknown): void {
    queueMicrotask(() => this.options.onTrouble?.(error))
  }

  /** Opens the store, or goes on in memory. */
  #opened(): Promise<Store> {
    this.#store ??= (async () => {
      let store: Store
      try {
        store = await this.open()
      } catch (error) {
        this.trouble(error)
        store = new ObjectStore({})
      }
      this.kept = store.kept
      return store
    })()
    return this.#store
  }

  /** Stores an entry, together with all that come in the same turn. */
  #save(entry: Entry): Promise<void> {
    this.#adding.push(entry)
    this.#saving ??= (async () => {
      const store = await this.#opened()
      const entries = this.#adding
      this.#adding = []
      this.#saving = undefined
      await store.add(entries).catch((error: unknown) => this.#retreat(error))
      for (const { id } of entries) {
        const mine = this.own.get(id)
        if (mine) mine.stored = true
      }
    })()
    return this.#saving
  }

  /** Goes on in memory where the store takes no more. What it has got is sent from here as well: the server knows it again. */
  async #retreat(error: unknown): Promise<void> {
    this.trouble(error)
    if ((await this.#store) instanceof ObjectStore) return
    const memory = new ObjectStore({})
    await memory.add([...this.own].map(([id, { body }]) => ({ id, body })))
    this.#store = Promise.resolve(memory)
    this.kept = false
  }

  async #dropOldest(): Promise<boolean> {
    const store = await this.#opened()
    const oldest = (await store.take(this.#taken.length + 1)).find(({ id }) => !this.#taken.includes(id))
    if (!oldest) return false
    await this.forget([oldest.id])
    this.reject(JSON.parse(oldest.body) as Command, 'full', 'The queue is full.')
    return true
  }

  /** Counts what is in the store. */
  async count(): Promise<void> {
    this.#others = Math.max(0, (await (await this.#opened()).size()) - this.own.size)
  }

  /** Returns the n oldest. None means that whatever was stored has been delivered by another page. */
  async take(n: number): Promise<Entry[]> {
    const entries = await (await this.#opened()).take(n)
    this.#taken = entries.map(({ id }) => id)
    if (!entries.length) {
      this.#others = 0
      for (const [id, { stored }] of this.own) if (stored) this.own.delete(id)
    }
    return entries
  }

  /** Removes those that are decided. */
  async forget(ids: readonly string[]): Promise<void> {
    for (const id of ids) if (!this.own.delete(id)) this.#others = Math.max(0, this.#others - 1)
    for (const room of this.#waiting.splice(0, ids.length)) room()
    await (await this.#opened()).remove(ids).catch((error: unknown) => this.trouble(error))
  }

  /** Removes everything, and every trace of the store. What it holds of this client is told as rejected. */
  async wipe(): Promise<void> {
    const own = [...this.own.values()]
    this.own.clear()
    this.#others = 0
    for (const { body } of own) this.reject(JSON.parse(body) as Command, 'consent', 'Consent was withdrawn.')
    await (await this.#opened()).wipe()
    this.#store = undefined
  }

  /** Ends the use of it. Who waits for room is turned away. */
  async close(): Promise<void> {
    this.#closed = true
    for (const room of this.#waiting.splice(0)) room()
    await (await this.#store)?.close()
  }
}
