/**
 * Facts about a customer or an event: names, and values of any JSON. Dates are
 * sent as ISO 8601 strings.
 */
export type Properties = Record<string, unknown>

/**
 * The customer that something is about: names and values of identifiers, such
 * as `{registered: 'jane@example.com'}`. The server ignores values that
 * identify nobody (an empty text, `'undefined'`).
 */
export type Ids = Record<string, string | number | readonly (string | number)[]>

/** Options for a single call. */
export interface CallOptions {
  /**
   * The customer that the call is about; required in Node. A browser adds its
   * own identifier and those of the last `identify`.
   */
  ids?: Ids
  /**
   * When it happened: a date, or Unix seconds. By default now, and never the
   * same time twice.
   */
  timestamp?: Date | number
}

/** A command as it is sent. */
export interface Command {
  name: 'customers' | 'customers/events'
  data: {
    customer_ids: Ids
    event_type?: string
    properties: Properties
    timestamp?: number
    update_timestamp?: number
  }
}

/** A command that will never be delivered. */
export interface Rejection {
  command: Command
  /**
   * `refused`: the server refuses it; `invalid`: it cannot be sent at all;
   * `full`: the queue had no room for it; `closed`: the client was closed;
   * `consent`: the user has not given consent, or has withdrawn it.
   */
  code: 'refused' | 'invalid' | 'full' | 'closed' | 'consent'
  /** One or more sentences, such as the server's. */
  reason: string
}

/** The results of this client's commands so far. */
export interface Report {
  /** Commands that are on the server's disk. */
  delivered: number
  /** Commands that will never be delivered. `onReject` was called with each. */
  rejected: number
  /** Commands that wait in the queue. */
  pending: number
  /**
   * Whether pending commands outlive this process or page. If not, closing
   * loses them.
   */
  kept: boolean
}

/** Options of every client: where to send, and with which key. */
export interface Options {
  /** The project's token, a UUID. */
  project: string
  /** A public key. */
  key?: string
  /** One server, such as `https://ts1.example.com`. */
  url?: string
  /**
   * Several servers, one of which is drawn at random and kept until it fails. A
   * string is the address of one of them; the client asks it for the list
   * (`/api/servers`).
   */
  servers?: readonly string[] | string
  /** The name of the only server to use, from the list of `/api/servers`. */
  server?: string
  /** The region to prefer, from the list of `/api/servers`. */
  region?: string
  /**
   * How many milliseconds to collect commands before a batch is sent. Default:
   * 1000. A full batch is sent at once.
   */
  flushInterval?: number
  /** The most commands in a batch. Default and maximum: 50. */
  batchSize?: number
  /** How many commands can wait in the queue. Default: 10 000. */
  maxQueued?: number
  /**
   * The choice for a full queue: wait for room (`block`), drop the new command
   * (`drop-newest`), or drop the oldest one.
   */
  whenFull?: 'block' | 'drop-newest' | 'drop-oldest'
  /**
   * After how many milliseconds a request is given up and repeated. Default: 30
   * 000.
   */
  timeout?: number
  /**
   * Called with each command that will never be delivered. It may call the
   * client.
   */
  onReject?: (rejection: Rejection) => void
  /**
   * Called with temporary trouble, during which commands are kept: a server
   * that cannot be reached, a key or project that the server does not know, a
   * full disk.
   */
  onTrouble?: (error: unknown) => void
}

/** A client of one project. */
export interface Client {
  /**
   * Adds an event. Resolves to true once the event is in the queue, where it
   * outlives the page or process if the report says `kept`. Resolves to false
   * if it will never be delivered; then `onReject` is called too. Never
   * rejects.
   */
  track(type: string, properties?: Properties, options?: CallOptions): Promise<boolean>
  /** Sets properties of a customer. Resolves like {@link track}. */
  update(properties: Properties, options?: CallOptions): Promise<boolean>
  /**
   * Declares that identifiers belong to one person, and can also set
   * properties. A string is the identifier `registered`. A browser remembers
   * them until `reset` or until the page is left.
   */
  identify(who: string | Ids, properties?: Properties, options?: CallOptions): Promise<boolean>
  /**
   * Asks the server for its time, in Unix seconds. Rejects if the server cannot
   * be reached or does not accept the key.
   */
  time(): Promise<number>
  /**
   * Sends the waiting commands, for at most a number of milliseconds (10 000),
   * and reports what is left.
   */
  flush(timeout?: number): Promise<Report>
  /**
   * Flushes and closes the client. If the queue is `kept`, what is left stays
   * there for the next time.
   */
  close(timeout?: number): Promise<Report>
  /** The results of all commands so far. */
  readonly report: Report
  /** The address of the server in use. Empty while only its name is known. */
  readonly server: string
  /**
   * How far the data of a cluster goes, as far as this client knows: everything
   * that it has delivered is included. Hand it to another process, which reads.
   * Empty if nothing was delivered yet, or if the server stands alone.
   */
  readonly position: string
}
