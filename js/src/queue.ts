import { micros } from './clock.ts'
import { newObjectStore, type Entry, type Store } from './store.ts'
import type { Command, Options, Rejection } from './types.ts'

const encoder = new TextEncoder()

/** Returns how many bytes a text has in UTF-8. */
export const bytes = (text: string) => encoder.encode(text).length

/**
 * The most bytes that the JSON of a command's data may have. Every server
 * refuses more.
 */
export const maxData = 800_000

/**
 * Whether a value may identify a customer: whether it is not empty. The server
 * knows which other texts identify nobody.
 */
export const someone = (id: unknown): boolean =>
  Array.isArray(id) ? id.some(someone) : !!`${id ?? ''}`.trim()

/**
 * The commands that may not be delivered yet: those of this client, and others
 * in the store.
 */
export interface Queue {
  /**
   * The commands of this client. Another page can have delivered only stored
   * ones. Parted ones were sent as a page was left.
   */
  own: Map<string, { body: string; stored?: boolean; parted?: boolean }>
  rejected: number
  /** Whether the queue outlives the page or process. */
  kept: boolean
  size(): number
  /** Resolves once everything in the queue is stored. */
  saved(): Promise<void> | undefined
  /**
   * Puts a command into the queue. Resolves to true once it is stored, or to
   * false if it is rejected.
   */
  push(command: Command): Promise<boolean>
  /**
   * Counts and reports a command that will never be delivered. Errors of the
   * owner's function are ignored.
   */
  reject(command: Command, code: Rejection['code'], reason: string): false
  /** Reports temporary trouble. */
  trouble(error: unknown): void
  /** Counts the commands in the store. */
  count(): Promise<void>
  /**
   * Returns the n oldest commands. An empty result means that another page has
   * delivered everything that was stored.
   */
  take(n: number): Promise<Entry[]>
  /** Removes decided commands. */
  forget(ids: readonly string[]): Promise<void>
  /**
   * Removes everything, with every trace of the store. The commands of this
   * client are reported as rejected.
   */
  wipe(): Promise<void>
  /** Closes the queue. Calls that wait for room are rejected. */
  close(): Promise<void>
}

export function newQueue({ maxQueued = 10_000, whenFull, onReject, onTrouble }: Options, open: () => Store | Promise<Store>): Queue {
  /**
   * How many commands others have in the store: earlier pages, or other open
   * ones.
   */
  let others = 0
  let store: Promise<Store> | undefined
  let adding: Entry[] = []
  let saving: Promise<void> | undefined
  /** Ids of the commands that were taken last, and are being sent. */
  let sending: string[] = []
  /** The calls that wait for room. */
  let waiting: (() => void)[] = []
  let closed = false

  /**
   * Calls the owner's function. Its errors neither stop us nor end the process.
   */
  const tell = <T>(how: ((what: T) => void) | undefined, what: T) => void Promise.resolve(what).then(how).catch(console.error)

  /**
   * Continues in memory with all commands of this client. Those that are in the
   * other store as well are also sent from here: the server recognizes them.
   * wipe and close still apply to the other store.
   */
  const retreat = async (error: unknown, from = newObjectStore({})): Promise<Store> => {
    queue.trouble(error)
    queue.kept = false
    const memory = newObjectStore({})
    await memory.add([...queue.own].map(([id, { body }]) => ({ id, body })))
    return { ...memory, wipe: () => from.wipe(), close: () => from.close() }
  }

  /** Opens the store. */
  const opened = () =>
    (store ??= (async () => open())()
      .then((found) => {
        queue.kept = found.kept
        return found
      })
      .catch((error: unknown) => retreat(error)))

  /** Does something with the store or, if the store fails, with memory. */
  const using = async <T>(how: (store: Store) => Promise<T>): Promise<T> => {
    const found = await opened()
    return how(found).catch(async (error: unknown) => how(await (store = retreat(error, found))))
  }

  /** Stores what was put into the queue during one turn of the event loop. */
  const save = async () => {
    await opened()
    const entries = adding
    adding = []
    saving = undefined
    await using((to) => to.add(entries))
    for (const { id } of entries) {
      const mine = queue.own.get(id)
      if (mine) mine.stored = true
    }
  }

  /**
   * Returns the JSON of a command. Throws if every server would refuse it; the
   * server finds other mistakes.
   */
  const encode = (command: Command) => {
    const data = JSON.stringify(command.data)
    const ids = Object.values(command.data.customer_ids)
    // Every server refuses half a surrogate pair.
    if (!someone(ids) || /\p{Surrogate}/u.test('' + ids)) throw new Error('No valid identifier.')
    if (bytes(data) > maxData) throw new Error('More than 800 kB.')
    // JSON has no NaN. A command without a time would be stored twice if it was
    // sent twice.
    if (/p":null}$/.test(data)) throw new Error('No time.')
    return `{"name":"${command.name}","data":${data}}`
  }

  /** Makes room for one command, unless there is room already. */
  const dropOldest = async () => {
    const oldest = (await using((from) => from.take(sending.length + 1))).find(({ id }) => !sending.includes(id))
    if (queue.size() < maxQueued) return true
    if (oldest) await queue.forget([oldest.id])
    return !!oldest && !queue.reject(JSON.parse(oldest.body) as Command, 'full', 'The queue is full.')
  }

  const queue: Queue = {
    own: new Map(),
    rejected: 0,
    kept: false,
    size: () => queue.own.size + others,
    saved: () => saving,
    async push(command) {
      let body
      try {
        body = encode(command)
      } catch (error) {
        return queue.reject(command, 'invalid', String(error))
      }
      const id = micros().toString(36) + Math.random().toString(36).slice(2, 8)
      while (queue.size() >= maxQueued && !closed) {
        if (whenFull === 'block') await new Promise<void>((room) => waiting.push(room))
        else if (whenFull !== 'drop-oldest' || !(await dropOldest())) return queue.reject(command, 'full', 'The queue is full.')
      }
      if (closed) return queue.reject(command, 'closed', 'The client is closed.')
      queue.own.set(id, { body })
      adding.push({ id, body })
      await (saving ??= save())
      return true
    },
    reject(command, code, reason) {
      queue.rejected++
      tell(onReject, { command, code, reason })
      return false
    },
    trouble: (error) => tell(onTrouble, error),
    async count() {
      others = Math.max(0, (await using((from) => from.size())) - queue.own.size)
    },
    async take(n) {
      const entries = await using((from) => from.take(n))
      sending = entries.map(({ id }) => id)
      if (!entries.length) {
        others = 0
        for (const [id, { stored }] of queue.own) if (stored) queue.own.delete(id)
      }
      return entries
    },
    async forget(ids) {
      for (const id of ids) if (!queue.own.delete(id) && others) others--
      for (const room of waiting.splice(0, ids.length)) room()
      await using((from) => from.remove(ids))
    },
    async wipe() {
      const lost = [...queue.own.values()]
      queue.own.clear()
      others = 0
      for (const { body } of lost) queue.reject(JSON.parse(body) as Command, 'consent', 'There is no consent.')
      await (await opened()).wipe()
      store = undefined
    },
    async close() {
      closed = true
      for (const room of waiting.splice(0)) room()
      await saving
      await (await store)?.close()
    },
  }
  return queue
}
