import { seconds } from './clock.ts'
import { bytes, Queue } from './queue.ts'
import { Sender } from './sender.ts'
import type { Memo } from './servers.ts'
import type { Entry, Store } from './store.ts'
import type { CallOptions, Client, Command, Ids, Options, Properties, Report } from './types.ts'

/** What a platform adds to the client that is the same everywhere. */
export interface Platform {
  /** Opens the queue's store; called once there is something to put into it, or to look for. */
  open(): Store | Promise<Store>
  /** The value of Authorization. */
  authorization: string
  /** What fetch does about redirects of a batch. */
  redirect: RequestRedirect
  /** Returns where a redirect of a batch leads, and after so many in a row; undefined if it is none that is to be followed. */
  moved: (answer: Response, from: string, moves: number) => string | undefined
  /** Runs what only one page at a time may do. */
  lock?: (run: () => Promise<void>, stop: AbortSignal) => Promise<void>
  /** Remembers the server that was chosen. */
  memo?: Memo
}

/** Commands of a batch and bytes of its body, at most; milliseconds for which commands are collected. */
const maxCommands = 50
const maxBytes = 512 * 1024
const interval = 1000

/** Returns how many of the first commands, whose sizes are given, make a batch. */
export function fitting(sizes: readonly number[], most = maxBytes): number {
  let body = '{"commands":[]}'.length - 1
  const over = sizes.findIndex((size, i) => i === maxCommands || (body += size + 1) > most)
  return over < 0 ? sizes.length : Math.max(1, over)
}

/** Whether a batch is to be sent: so many wait, the oldest for so many milliseconds. */
export const due = (waiting: number, oldest: number, flush: boolean, after = interval, full = maxCommands) =>
  waiting >= full || (waiting > 0 && (flush || oldest >= after))

/** The client without what is particular to browsers or to Node. */
export class Core implements Client {
  protected readonly queue: Queue
  protected readonly sender: Sender
  readonly #options: Options
  readonly #lock: Platform['lock']
  #timer: ReturnType<typeof setTimeout> | undefined
  #running: Promise<void> | undefined
  #stop = new AbortController()
  #closed = false
  #delivered = 0

  constructor(options: Options, platform: Platform) {
    if (!options.project || !(options.url || options.servers?.length)) {
      throw new TypeError('createClient: expected project, and url or servers')
    }
    this.#options = options
    this.#lock = platform.lock
    this.queue = new Queue(options, () => platform.open())
    this.sender = new Sender(options, platform, (e) => this.queue.trouble(e))
  }

  get server(): string {
    return this.sender.server
  }

  get report(): Report {
    const { rejected, size, kept } = this.queue
    return { delivered: this.#delivered, rejected, pending: size, kept }
  }

  /** Returns whom a call is about. */
  protected whom(ids: Ids = {}): Ids {
    return ids
  }

  track(type: string, properties: Properties = {}, { ids, timestamp }: CallOptions = {}): Promise<boolean> {
    const data = { customer_ids: this.whom(ids), event_type: type, properties, timestamp: seconds(timestamp) }
    return this.push({ name: 'customers/events', data })
  }

  update(properties: Properties, { ids, timestamp }: CallOptions = {}): Promise<boolean> {
    return this.push({ name: 'customers', data: { customer_ids: this.whom(ids), properties, update_timestamp: seconds(timestamp) } })
  }

  identify(who: string | Ids, properties: Properties = {}, options: CallOptions = {}): Promise<boolean> {
    return this.update(properties, { ...options, ids: { ...options.ids, ...named(who) } })
  }

  time(): Promise<number> {
    return this.sender.time(this.#stop.signal)
  }

  async flush(timeout = 10_000): Promise<Report> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<void>((done) => (timer = setTimeout(done, timeout)))
    const sent = async () => {
      await this.queue.saved
      await this.#running // which may have begun before the last call
      await this.start()
    }
    await Promise.race([sent(), late])
    clearTimeout(timer)
    return this.report
  }

  async close(timeout?: number): Promise<Report> {
    if (!this.#closed) await this.flush(timeout)
    this.#closed = true
    this.halt()
    await this.#running
    const { report } = this
    await this.queue.close()
    return report
  }

  /** Puts a command into the queue, and sees to it that it is sent. */
  protected async push(command: Command): Promise<boolean> {
    if (!(await this.queue.push(command))) return false
    if (due(this.queue.size, 0, false, this.#options.flushInterval, this.#options.batchSize)) void this.start()
    else this.#schedule()
    return true
  }

  /** Sends what waits once it has been collected for the usual time. */
  #schedule(): void {
    if (this.#running || this.#stop.signal.aborted) return // then it is seen to at the end of that
    this.#timer ??= setTimeout(() => void this.start(), this.#options.flushInterval ?? interval)
  }

  /** Sends what waits, unless that is under way already. */
  start(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const stop = this.#stop.signal
    const pass = () => this.#pass(stop)
    this.#running ??= (async () => {
      try {
        await (this.#lock ? this.#lock(pass, stop) : pass())
      } catch (error) {
        if (!stop.aborted) this.queue.trouble(error)
      }
      this.#running = undefined
      if (this.queue.own.size) this.#schedule()
    })()
    return this.#running
  }

  /** Ends what is under way. */
  protected halt(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#stop.abort()
  }

  /** Ends what is under way, and removes the queue with all that is in it. */
  protected async wipe(): Promise<void> {
    this.halt()
    await this.#running
    await this.queue.wipe()
    if (!this.#closed) this.#stop = new AbortController()
  }

  /** Sends what waits at its beginning, and full batches as long as there are any. */
  async #pass(stop: AbortSignal): Promise<void> {
    const full = Math.min(maxCommands, this.#options.batchSize ?? maxCommands)
    await this.queue.count()
    for (let left = this.queue.size; !stop.aborted && (left > 0 || this.queue.size >= full); ) {
      const entries = await this.queue.take(full)
      const batch = entries.slice(0, fitting(entries.map(({ body }) => bytes(body))))
      if (!batch.length) return
      left -= batch.length
      await this.#deliver(batch, stop)
    }
  }

  /** Sends a batch, in parts if need be, until each of its commands is decided or we are stopped. */
  async #deliver(batch: Entry[], stop: AbortSignal): Promise<void> {
    const bodies = batch.map(({ body }) => body)
    const verdict = await this.sender.send(bodies, stop)
    if (!verdict) return
    if (verdict.action === 'split') {
      const half = Math.ceil(batch.length / 2)
      await this.#deliver(batch.slice(0, half), stop)
      return this.#deliver(batch.slice(half), stop)
    }
    // What is not decided stays the oldest, so that it goes first.
    const decided: string[] = []
    batch.forEach(({ id, body }, i) => {
      const reason = verdict.action === 'done' ? verdict.outcomes[i] : verdict.reason
      if (reason === null) return
      decided.push(id)
      if (reason === undefined) this.#delivered++
      else this.queue.reject(JSON.parse(body) as Command, 'refused', reason)
    })
    if (decided.length < batch.length) this.sender.unknown()
    await this.queue.forget(decided)
  }
}

/** Returns the identifiers that a name stands for. */
export const named = (who: string | Ids): Ids => (typeof who === 'string' ? { registered: who } : who)
