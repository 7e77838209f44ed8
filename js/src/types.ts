/** What a customer or an event is described by: names and values, any JSON. Dates go out as ISO 8601 strings. */
export type Properties = Record<string, unknown>

/**
 * Whom something is about: names and values of identifiers, such as `{registered: 'jane@example.com'}`. What names nobody (an empty
 * text, `'undefined'`) is left out by the server.
 */
export type Ids = Record<string, string | number | readonly (string | number)[]>

/** What may be said besides about one call. */
export interface CallOptions {
  /** Whom it is about. In a browser: besides the browser itself and who was identified last. In Node it is required. */
  ids?: Ids
  /** When it happened: a date, or Unix seconds. Without it: now, and never the same moment twice. */
  timestamp?: Date | number
}

/** One command as it goes over the wire. */
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
   * `refused`: the server will not have it; `invalid`: it cannot be sent at all; `full`: there was no room in the queue; `closed`:
   * the client was closed; `consent`: there is none, or it was withdrawn.
   */
  code: 'refused' | 'invalid' | 'full' | 'closed' | 'consent'
  /** Whole sentences, such as the server's. */
  reason: string
}

/** What became of the commands of this client so far. */
export interface Report {
  /** Commands that are on the server's disk. */
  delivered: number
  /** Commands that will never be: each was told to `onReject`. */
  rejected: number
  /** Commands that wait in the queue. */
  pending: number
  /** Whether what is pending outlives this process or page. If not, closing loses it. */
  kept: boolean
}

/** Where to send, and as whom. */
export interface Options {
  /** The project's token, a UUID. */
  project: string
  /** A public key. */
  key?: string
  /** One server, such as `https://ts1.example.com`. */
  url?: string
  /**
   * Several servers: one is drawn, then kept. A string is the address of one of them, which is asked for the list
   * (`/api/servers`). A server that fails gives way to the next.
   */
  servers?: readonly string[] | string
  /** The name of the one server to use, of those that `/api/servers` lists. */
  server?: string
  /** The region to prefer, of those that `/api/servers` lists. */
  region?: string
  /** Milliseconds for which commands are collected before a batch is sent. 1000. A full batch does not wait. */
  flushInterval?: number
  /** Commands of a batch. 50, which is the most. */
  batchSize?: number
  /** Commands that may wait in the queue. 10 000. */
  maxQueued?: number
  /** What happens when that many wait: the new one waits for room (`block`), is dropped (`drop-newest`), or the oldest is. */
  whenFull?: 'block' | 'drop-newest' | 'drop-oldest'
  /** Milliseconds after which a request is given up and repeated. 30 000. */
  timeout?: number
  /** Is told each command that will never be delivered. It may call the client. */
  onReject?: (rejection: Rejection) => void
  /**
   * Is told of trouble that was got around (a disk that is full), or during which commands are kept: a server that is out of reach,
   * a key or a project that it does not know.
   */
  onTrouble?: (error: unknown) => void
}

/** A client of one project. */
export interface Client {
  /**
   * Adds an event. Resolves once it is in the queue, where it outlives the page or process as long as the report says `kept`:
   * to true; or to false if it never will be delivered, which `onReject` is told too. Never rejects.
   */
  track(type: string, properties?: Properties, options?: CallOptions): Promise<boolean>
  /** Sets properties of a customer. Resolves like {@link track}. */
  update(properties: Properties, options?: CallOptions): Promise<boolean>
  /**
   * Says that identifiers belong to one person, and perhaps sets properties. A string is the identifier `registered`.
   * In a browser it is remembered until `reset` or until the page is left.
   */
  identify(who: string | Ids, properties?: Properties, options?: CallOptions): Promise<boolean>
  /** Asks the server for its time, in Unix seconds. Rejects if the server cannot be reached or does not accept the key. */
  time(): Promise<number>
  /** Sends what waits, for at most so many milliseconds (10 000), and says what is left. */
  flush(timeout?: number): Promise<Report>
  /** Flushes and ends. What is then left stays in the queue for the next time, where that outlives us (`kept`). */
  close(timeout?: number): Promise<Report>
  /** What became of everything so far. */
  readonly report: Report
  /** The address of the server in use; empty while it is known by its name only. */
  readonly server: string
}
