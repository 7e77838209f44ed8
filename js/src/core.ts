import { seconds } from './clock.ts'
import { bytes, newQueue, type Queue } from './queue.ts'
import { newSender, type Sender } from './sender.ts'
import type { Memo } from './servers.ts'
import type { Entry, Store } from './store.ts'
import type { Client, Command, Ids, Options, Report } from './types.ts'

/** The platform's additions to the common part of the client. */
export interface Platform {
  /**
   * Opens the queue's store. Called as soon as there is something to put into
   * it or to look for in it.
   */
  open(): Store | Promise<Store>
  /** The value of the Authorization header. */
  authorization: string
  /** How fetch treats redirects of a batch, if it does not follow them. */
  redirect?: RequestRedirect
  /**
   * Returns where a redirect of a batch leads, given how many were followed in
   * a row. Returns undefined if it is not to be followed.
   */
  moved(answer: Response, from: string, moves: number): string | undefined
  /** Returns the identifiers that a call is about. */
  whom(ids: Ids | undefined): Ids
  /** Whether anything may be stored or sent. */
  allowed(): boolean
  /** Runs something that only one page at a time may do. */
  lock?: ((run: () => Promise<void>, stop: AbortSignal) => Promise<void>) | undefined
  /** Remembers the chosen server. */
  memo?: Memo
}

/**
 * In this order: the most commands in a batch, the most bytes in its body, and
 * how many milliseconds commands wait for more to join their batch.
 */
export const maxCommands = 50
const maxBytes = 512 * 1024
export const interval = 1000

/**
 * Returns how many of the first commands fit into a batch, given their sizes.
 */
export function fitting(sizes: readonly number[], most = maxBytes): number {
  let body = '{"commands":[]}'.length - 1
  const over = sizes.findIndex((size, i) => i === maxCommands || (body += size + 1) > most)
  return over < 0 ? sizes.length : Math.max(1, over)
}

/**
 * Whether to send a batch, given how many commands wait, and for how many
 * milliseconds the oldest has waited.
 */
export const due = (waiting: number, oldest: number, flush: boolean, after: number, full: number) =>
  waiting >= full || (waiting > 0 && (flush || oldest >= after))

/** Returns the identifiers that a name stands for. */
export const named = (who: string | Ids): Ids => (typeof who === 'string' ? { registered: who } : who)

/** A client, and what only its platform uses. */
export interface Core {
  /** Each platform has an identify of its own. */
  client: Omit<Client, 'identify'>
  queue: Queue
  sender: Sender
  /** Sends the waiting commands, unless that is under way already. */
  start(): Promise<void>
  /** Ends with what is under way. */
  stopped(): AbortSignal
  /** Ends what is under way, and removes the queue with its content. */
  wipe(): Promise<void>
}

/**
 * Returns a client without the parts that are specific to browsers or to Node.
 */
export function newCore(options: Options, platform: Platform): Core {
  if (!options.project || !(options.url || options.servers?.length)) {
    throw new TypeError('Expected project, url or servers.')
  }
  const { flushInterval = interval, batchSize = maxCommands } = options
  const queue = newQueue(options, platform.open)
  const sender = newSender(options, platform, queue.trouble)
  let timer: ReturnType<typeof setTimeout> | undefined
  let running: Promise<void> | undefined
  let stop = new AbortController()
  let closed = false
  let closing: Promise<Report> | undefined
  let delivered = 0

  /** Puts a command into the queue, and makes sure that it is sent. */
  const push = async (command: Command) => {
    if (!platform.allowed()) return queue.reject(command, 'consent', 'There is no consent.')
    if (!(await queue.push(command))) return false
    if (due(queue.size(), 0, false, flushInterval, batchSize)) void start()
    else schedule()
    return true
  }

  /** Sends the waiting commands after the usual time of collecting. */
  const schedule = () => {
    if (running || closed) return // its end takes care of this
    timer ??= setTimeout(start, flushInterval)
  }

  /** Cancels that. */
  const calm = () => (timer = clearTimeout(timer) as undefined)

  const start = async () => {
    calm()
    if (platform.allowed()) await (running ??= run(stop.signal))
  }

  const run = async (signal: AbortSignal) => {
    try {
      await (platform.lock ? platform.lock(() => pass(signal), signal) : pass(signal))
    } catch (error) {
      if (!signal.aborted) queue.trouble(error)
    }
    running = undefined
    if (queue.own.size) schedule()
  }

  const halt = async () => {
    calm()
    stop.abort()
    await running
  }

  /**
   * Sends what was waiting at the start, and then full batches as long as there
   * are any.
   */
  const pass = async (signal: AbortSignal) => {
    const full = Math.min(maxCommands, batchSize)
    await queue.count()
    for (let left = queue.size(); !signal.aborted && (left > 0 || queue.size() >= full); ) {
      const entries = await queue.take(full)
      const batch = entries.slice(0, fitting(entries.map(({ body }) => bytes(body))))
      if (!batch.length) return
      left -= await deliver(batch, signal)
    }
  }

  /**
   * Sends a batch, in parts if necessary, until each command is decided or the
   * client is stopped. Returns how many are decided.
   */
  const deliver = async (batch: Entry[], signal: AbortSignal): Promise<number> => {
    const verdict = await sender.send(batch.map(({ body }) => body), signal)
    if (!verdict) return 0
    if (verdict.action === 'split') {
      const first = batch.splice(0, Math.ceil(batch.length / 2))
      return (await deliver(first, signal)) + (await deliver(batch, signal))
    }
    // Undecided commands remain the oldest, so they go first.
    const decided: string[] = []
    batch.forEach(({ id, body }, i) => {
      const reason = verdict.action === 'done' ? verdict.outcomes[i] : verdict.why
      if (reason === null) return
      decided.push(id)
      if (reason === undefined) delivered++
      else queue.reject(JSON.parse(body) as Command, 'refused', reason)
    })
    await queue.forget(decided)
    return decided.length
  }

  const end = async (timeout?: number) => {
    await client.flush(timeout)
    closed = true
    await halt()
    const { report } = client
    await queue.close()
    return report
  }

  const client: Core['client'] = {
    track: (type, properties = {}, options) =>
      push({
        name: 'customers/events',
        data: { customer_ids: platform.whom(options?.ids), event_type: type, properties, timestamp: seconds(options?.timestamp) },
      }),
    update: (properties, options) =>
      push({
        name: 'customers',
        data: { customer_ids: platform.whom(options?.ids), properties, update_timestamp: seconds(options?.timestamp) },
      }),
    time: () => sender.time(stop.signal),
    async flush(timeout = 10_000) {
      let late: ReturnType<typeof setTimeout> | undefined
      const sent = async () => {
        await queue.saved()
        await running // it may have begun before the last call
        await start()
      }
      await new Promise<void>((done) => {
        late = setTimeout(done, timeout)
        void sent().then(done)
      })
      clearTimeout(late)
      return client.report
    },
    close: (timeout) => (closing ??= end(timeout)),
    get report() {
      return { delivered, rejected: queue.rejected, pending: queue.size(), kept: queue.kept }
    },
    get server() {
      return sender.server()
    },
    get position() {
      return sender.place.held
    },
  }
  return {
    client,
    queue,
    sender,
    start,
    stopped: () => stop.signal,
    async wipe() {
      await halt()
      await queue.wipe()
      if (!closed) stop = new AbortController()
    },
  }
}
