import { named, newCore } from './core.ts'
import { FileStore, MemoryStore } from './file.ts'
import { moved } from './redirect.ts'
import type { Client, Options } from './types.ts'

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

/**
 * Returns a client that sends from this process. Throws if the queue's file
 * cannot be used.
 */
export function createClient(options: NodeOptions): Client {
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
  const { client, queue, start } = newCore(options, {
    open: () => store,
    authorization: key ? `Token ${key}` : `Basic ${Buffer.from(`${keyId}:${secret}`).toString('base64')}`,
    redirect: 'manual',
    moved: (answer, from, moves) => moved(answer.status, answer.headers.get('Location'), from, moves),
    whom: (ids = {}) => ids,
    allowed: () => true,
  })
  if (file) void start() // what is left from last time
  return Object.defineProperty(client as Client, 'identify', {
    value: ((who, properties = {}, options = {}) =>
      client.update(properties, { ...options, ids: { ...options.ids, ...named(who) } })) satisfies Client['identify'],
  })
}
