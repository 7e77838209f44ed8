import { named, newCore } from './core.ts'
import { FileStore, MemoryStore } from './file.ts'
import { isPosition } from './position.ts'
import { read } from './reader.ts'
import { moved } from './redirect.ts'
import type { Client, Options } from './types.ts'

export { AnswerError } from './reader.ts'
export type * from './types.ts'

/**
 * The options of a client in Node, with a public key (`key`) or a private one
 * (`keyId` and `secret`).
 */
export interface NodeOptions extends Options {
  keyId?: string
  secret?: string
  /**
   * The file for the queue, so that nothing is lost when the process ends. Each
   * process needs a file of its own. Without it, the queue is in memory.
   */
  file?: string
  /**
   * Whether the queue must survive power cuts too, not only the end of the
   * process: then each write waits for the disk.
   */
  sync?: boolean
}

/** A client in Node. */
export interface NodeClient extends Client {
  /**
   * Asks a question of the data API, and resolves to the answer. route is what
   * follows the project in the path, such as `customers/export-one`. The key of
   * the client must be allowed to read, so it is usually a private one.
   *
   * The answer shows everything that this client has delivered before the call,
   * and everything up to `after`, even if another server of the cluster has
   * stored it. Commands that still wait are not delivered: call `flush` first.
   *
   * If a server cannot answer, another one is asked, for at most a number of
   * milliseconds (30 000). Rejects with an `AnswerError` if the question is
   * refused.
   */
  read(route: string, question: unknown, timeout?: number): Promise<any>
  /**
   * Makes later calls of `read` show everything up to a position of another
   * client, of the same project and the same cluster. The later one of this
   * position and the client's own counts. An empty position changes nothing.
   * Throws if it is no position.
   */
  after(position: string): void
}

/**
 * Returns a client that sends from this process. Throws if the queue's file
 * cannot be used.
 */
export function createClient(options: NodeOptions): NodeClient {
  const { key, keyId, secret, file, sync = false } = options
  if (!key && !(keyId && secret)) throw new TypeError('Expected key, or keyId and secret.')
  // The store may have something to report before the queue exists, which
  // passes reports on.
  const tell = async (kept: boolean, error?: unknown) => {
    await Promise.resolve()
    queue.kept = kept
    if (error) queue.trouble(error)
  }
  const store = file ? new FileStore(file, sync, tell) : new MemoryStore()
  const { client, queue, sender, start, stopped } = newCore(options, {
    open: () => store,
    authorization: key ? `Token ${key}` : `Basic ${Buffer.from(`${keyId}:${secret}`).toString('base64')}`,
    redirect: 'manual',
    moved: (answer, from, moves) => moved(answer.status, answer.headers.get('Location'), from, moves),
    whom: (ids = {}) => ids,
    allowed: () => true,
  })
  if (file) void start() // what is left from last time
  const identify: Client['identify'] = (who, properties = {}, options = {}) =>
    client.update(properties, { ...options, ids: { ...options.ids, ...named(who) } })
  const reading: Pick<NodeClient, 'read' | 'after'> = {
    read: (route, question, timeout = 30_000) => read(sender, options.project, route, question, timeout, stopped()),
    after(position) {
      if (position && !isPosition(position)) throw new TypeError(`${position} is not a position, such as 0.1234.`)
      sender.place.learn(position)
    },
  }
  return Object.assign(client as NodeClient, { identify }, reading)
}
