// The server's answers to these pages, under /grid/. Times are Unix seconds
// with decimals unless a comment says otherwise. A project is named by its
// token. Customers and sequence numbers are strings, because they need 64 bits.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** Identifiers: a hard one has one value, a soft one can have several. */
export type Ids = { [name: string]: string | string[] };

export type Properties = { [name: string]: Json };

/** The roles of users, the least first. */
export const roles = ["viewer", "analyst", "operator", "admin"] as const;
export type Role = (typeof roles)[number];

/** GET /grid/session: the ways to sign in. */
export interface Ways {
  users: boolean;
  /** There is a password without a name. */
  password: boolean;
  /** The name of a provider. */
  provider?: string;
  /** Why the provider did not get this browser in. It is said once. */
  refused?: string;
}

/** GET /grid/users. */
export interface Users {
  users: User[];
  users_only: boolean;
}

export interface User {
  name: string;
  /** A role for all projects, or role:token for one. */
  roles: string[];
  sessions: number;
}

/** GET /grid/sessions. */
export interface Sessions {
  sessions: Session[];
}

export interface Session {
  id: string;
  user: string;
  since: number;
  seen: number;
  expires: number;
  address: string;
  /** It is this one. */
  own: boolean;
}

/** GET /grid/start: what every page needs. */
export interface Start {
  /** The user: without a name it is the one password. */
  user: { name: string; role: Role | "" };
  server: { name: string; region: string; version: string; url: string; started: number };
  user_expires: number;
  projects: Project[];
  limits: { grid: { limit: number; window: number } | null };
  types: { [token: string]: string[] };
}

export interface Project {
  name: string;
  token: string;
  hard: string[];
  soft: string[];
  personal: string[];
  /**
   * One of the project's public keys, for the command that empty pages offer to
   * copy.
   */
  public_key: string | null;
  /** The user's role in the project. */
  role: Role;
}

/**
 * The outcomes of commands. limited counts requests that were answered with
 * 429.
 */
export interface Rates {
  accepted: number;
  refused: number;
  limited: number;
  failed: number;
}

export type Outcome = keyof Rates;

/** Counts in steps of seconds; null while the server was not running. */
export type Series = { start: number; step: number } & { [outcome in Outcome]: (number | null)[] };

/** GET /grid/overview. */
export interface Overview {
  now: number;
  totals: { customers: number; events: number };
  rates: { minute: Rates; hour: Series; day: Series; since: number };
  types: { project: string; type: string; day: number; month: number }[];
  usage: { project: string; month: string; processed: number; stored: number; duplicate: number; refused: number }[];
  servers: { name: string; region: string; url: string; state: string; self: boolean }[];
  health: { ready: boolean; reason: string; damaged: number; disk_free: number; store_bytes: number; memory: number; goroutines: number };
  /** null: the server stands alone. */
  cluster: Cluster | null;
  /**
   * Tokens of the projects that totals, types and usage leave out, because no
   * server that holds them answers.
   */
  missing: string[];
}

/** Part of GET /grid/overview, and GET /grid/live, `event: cluster`. */
export interface Cluster {
  name: string;
  id: string;
  /** The address of the leader; empty: none is known. */
  leader: string;
  term: number;
  level: "good" | "warn" | "bad";
  /** The fault, and what follows from it; empty: all is well. */
  trouble: string;
  members: Member[];
  /** Absent: there is one. The fields above are of the first one. */
  partitions?: Partition[];
}

export interface Partition {
  partition: number;
  /** As of the cluster. */
  leader: string;
  term: number;
  members: Member[];
}

export interface Member {
  id: string;
  address: string;
  voter: boolean;
  /** Entries that it lacked when it answered last. */
  behind: number;
  /** null: unknown. */
  behind_seconds: number | null;
  /** null: it has not answered since this server started. */
  heard: string | null;
  silent: boolean;
  /** Why it takes no commands; empty: it does. */
  unfit: string;
  /** The digest that shows other data than most servers have; 0: none. */
  differs: number;
}

/** GET /grid/live, `event: event`. */
export interface LiveEvent {
  seq: string;
  project: string;
  type: string;
  time: number;
  received: number;
  customer: string;
  ids: Ids;
  properties: Properties;
}

/** GET /grid/live, `event: rejected`. */
export interface Rejected {
  /** null: the project is no longer configured. */
  project: string | null;
  received: number;
  command: string;
  type: string | null;
  ids: Ids | null;
  field: string | null;
  error: string;
  address: string;
}

/**
 * GET /grid/live, `event: leftout`: identifiers that the server ignored,
 * because they named nobody. Each such message lists all of the last hour. One
 * comes whenever there is a new one.
 */
export interface LeftOut {
  project: string;
  identifier: string;
  /**
   * empty: null or no text; listed: a text in the project's list; signs: no
   * letter and no digit.
   */
  why: "empty" | "listed" | "signs";
  /** The text as in the project's list. */
  value: string | null;
  count: number;
  first: number;
  /** Of the last command with it. */
  last: number;
  command: string;
  type: string | null;
  address: string;
}

/**
 * GET /grid/live, `event: stats`, each second. dropped counts what this watcher
 * did not get, because it was too slow or there was too much.
 */
export interface Stats extends Rates {
  now: number;
  dropped: number;
}

/**
 * customersPath returns the request for a page of customers: GET
 * /grid/customers. The search comes after the #, as does the cursor.
 */
export function customersPath(project: string, search: { q: string; cursor?: string }, page: { rows: string; order?: string }): string {
  const filled = (of: object) => new URLSearchParams(Object.entries(of).filter(([, value]) => value !== ""));
  const behind = filled(search).toString();
  return `/grid/customers?${filled({ project, ...page })}${behind && "#"}${behind}`;
}

/** GET /grid/customers. */
export interface CustomerPage {
  rows: CustomerRow[];
  next: string | null;
  total: number | null;
  searched: number;
  /** false: the search ran out of time; `next` continues it. */
  complete: boolean;
}

export interface CustomerRow {
  customer: string;
  ids: Ids;
  properties: Properties;
  created: number;
  properties_total: number;
}

/** GET /grid/customer. */
export interface Customer {
  customer: string;
  created: number;
  ids: { name: string; value: string; hard: boolean }[];
  properties: { name: string; value: Json; updated: number }[];
  merges: Merge[];
  types: { type: string; count: number }[];
  events_total: number;
  /** false: there was no time to count all events. */
  complete: boolean;
}

/** Two customers were merged, because a command (cause) named both. */
export interface Merge {
  time: number;
  cause: Ids;
  absorbed: Ids;
  survivor: Ids;
}

/** GET /grid/events. */
export interface EventPage {
  rows: EventRow[];
  next: string | null;
  complete: boolean;
}

export interface EventRow {
  seq: string;
  type: string;
  time: number;
  received: number;
  customer: string;
  properties: Properties;
}

/** GET /grid/limits. */
export interface Limits {
  now: number;
  policies: Policy[];
  refusals: { start: number; step: number; series: { [policy: string]: (number | null)[] } };
  callers: Caller[];
  refused: Caller[];
  changes: Change[];
}

export interface Policy {
  name: string;
  paths: string[];
  limit: number;
  window: number;
  per: string;
  algorithm: string;
  mode: string;
  since: number;
  candidate: number | null;
  calls: number;
  refused: number;
  /**
   * Calls that mode `report` let through, and calls that the candidate would
   * have refused.
   */
  would_refuse: number;
  candidate_refused: number;
  callers: number;
  /**
   * How many calls callers make in a window: how close they come to the limit.
   */
  distribution: { p50: number; p95: number; p99: number; max: number };
}

/**
 * As in GET /api/limits/callers: the callers, and what they send. first and
 * last are in RFC 3339.
 */
export interface Caller {
  policy: string;
  address: string;
  /**
   * How the address was found: it is the peer's, or from a header that passed
   * some proxies.
   */
  address_from: string;
  calls: number;
  refused: number;
  error: number;
  first: string;
  last: string;
  projects: string[];
  routes: string[];
  user_agents: string[];
  event_types: string[];
  bodies: number;
  /**
   * The share of bodies that were identical to one of the caller's last few.
   */
  repeats: number;
}

/** GET /grid/audit. Times are in RFC 3339. */
export interface Audit {
  entries: AuditEntry[];
  /** The parameter before of the next page. */
  next: number | null;
  /** Damaged lines on the way. */
  unreadable: number;
}

export interface AuditEntry {
  n: number;
  at: string;
  /** Absent: the server itself, or somebody with the one password. */
  actor?: string;
  via: string;
  address?: string;
  action: string;
  project?: string;
  target?: string;
  outcome: string;
  count?: number;
  detail?: string;
}

/** GET /grid/alarms. Times are in RFC 3339. */
export interface Alarms {
  at: string;
  ringing: Alarm[];
  waiting: Alarm[];
  past: Alarm[];
  rules: { kind: string; watches: string; rings: string }[];
  receivers: AlarmReceiver[];
  gaps: { from: string; to: string }[];
  zone: string;
  leads: boolean;
}

export interface Alarm {
  kind: string;
  subject: string;
  headline: string;
  text: string;
  since: string;
  rang: string | null;
  ended: string | null;
}

export interface AlarmReceiver {
  name: string;
  kind: string;
  pending: number;
  left_out: number;
  last_success: string | null;
  last_failure: string | null;
  error?: string;
}

export type BotReason = "agent" | "pace" | "repeats" | "regular" | "one_hit";

/** GET /grid/bots. */
export interface Bots {
  now: number;
  project: string;
  /** The property that holds the reason; empty: nobody is labeled. */
  property: string;
  /** 0: there is no such rule. */
  rules: { pace: number; repeats: number; regular: number; one_hit: number };
  /** When the counts began; 0: no event has come. */
  since: number;
  events: number;
  reasons: { reason: BotReason; events: number; customers: number }[];
  agents: { name: string; events: number }[];
}

/** GET /grid/destinations. Times are in RFC 3339. */
export interface Catalogue {
  now: number;
  project: string;
  since: number | null;
  until: number | null;
  events: number;
  looked_at: number;
  /** Every event was looked at; otherwise the numbers are estimates. */
  exact: boolean;
  other_types: number;
  types: EventType[];
}

export interface EventType {
  type: string;
  events: number;
  /** Of the project's events, up to 1. */
  share: number;
  events_24h: number;
  first_seen: number;
  last_seen: number;
  new: boolean;
  other_properties: number;
  properties: EventProperty[];
}

export interface EventProperty {
  name: string;
  events: number;
  /** Of the type's events since the property was first seen. */
  share: number;
  first_seen: number;
  last_seen: number;
  new: boolean;
  /** The values have several types, apart from null. */
  mixed: boolean;
  values: { type: string; share: number; shape: string }[];
  examples: (string | number)[];
}

/** GET /grid/contracts. */
export interface Contracts {
  now: number;
  project: string;
  contracts: Contract[];
}

export interface Contract {
  type: string;
  action: "report" | "refuse" | "quarantine";
  since: number;
  checked_24h: number;
  broken_24h: number;
  /** Of the checked events, up to 1. */
  share: number;
  broken: { property: string; keyword: string; expected: string; got: string; events_24h: number; last: number }[];
  schema: Json;
}

/** POST /grid/contract. There is a result or a problem. */
export interface ContractTrial {
  problem: string;
  result: {
    looked_at: number;
    from: number | null;
    until: number | null;
    /** Older events were not looked at. */
    cut: boolean;
    types: { type: string; checked: number; broken: number; share: number; reasons: ContractReason[] }[];
  } | null;
}

export interface ContractReason {
  property: string;
  keyword: string;
  expected: string;
  events: number;
  first: number;
  last: number;
  /** Masked; empty: there is no value. */
  example: string;
}

/** GET /grid/contract. */
export interface ProposedContract {
  type: string;
  events: number;
  checked: number;
  broken: number;
  /** Why there is no schema. */
  why: string;
  schema: Json;
}

export interface Destinations {
  now: number;
  destinations: Destination[];
  /** Partitions of whose destinations nothing is known, and why. */
  unanswered: { partition: string; error: string }[];
}

export interface Destination {
  name: string;
  kind: string;
  state: "running" | "behind" | "retrying" | "paused" | "stopped" | "checking";
  /** It has all changes up to this number. */
  position: number;
  lag_events: number;
  /** Since the oldest event that it lacks was received. */
  lag_seconds: number;
  batches: number;
  rows: number;
  /** Rows a second, in the last minute. */
  rate: number;
  history: number[];
  last_success: string | null;
  last_failure: string | null;
  /** Of the last failure, while it fails. */
  error?: string;
  last_error?: string;
  /** Rows that can never fit, by reason. */
  rejected?: { [reason: string]: number };
  retries?: { [reason: string]: number };
  /** Values that do not fit into their column. */
  misfits?: { type: string; property: string; values: number }[];
  lost: number;
  missed: number;
  /** Erasures reach it. */
  deletes: boolean;
  /** Events expire before it has them. */
  lets_go: boolean;
}

/** As in GET /api/limits/changes. */
export interface Change {
  at: string;
  what: string;
  policy: string;
  for?: string;
  old: Properties | null;
  new: Properties | null;
}

/** The part of the record that an answer is about; without times: none. */
export interface Part {
  from?: string;
  to?: string;
  /** The record goes back further. */
  cut: boolean;
}

/** GET /grid/simulate. Times are in RFC 3339. */
export interface Tried {
  part: Part;
  /** null: nothing is recorded. */
  result: TriedLimit | null;
}

export interface TriedLimit {
  record: { calls: number; refused: number; addresses: number; gaps: { from: string; to: string }[] };
  policy: PolicyOutcome;
  callers: CallerOutcome[];
  steps: { start: string; step: number; refused: number[]; was_refused: number[] };
  /** The line for the configuration. */
  yaml: string;
  /** Why the configuration would refuse that line. */
  problem?: string;
  warnings: string[];
}

/** The effect of a limit, and that of the limits in force then (was). */
export interface PolicyOutcome {
  name: string;
  limit: number;
  window: number;
  mode: string;
  calls: number;
  refused: number;
  was_refused: number;
  callers: number;
  callers_refused: number;
  callers_was_refused: number;
}

export interface CallerOutcome {
  caller: string;
  route?: string;
  calls: number;
  refused: number;
  was_refused: number;
  /** Of the first refusal. */
  first?: string;
  last?: string;
}

/** GET /grid/suggest. */
export interface Advice {
  part: Part;
  result: Suggestion | null;
  warnings: string[];
}

export interface Suggestion {
  name: string;
  callers: number;
  calls: number;
  needed: number;
  now: Effect;
  /** null: there is no suggestion, for the reason in note. */
  then: Effect | null;
  note?: string;
}

export interface Effect {
  limit: number;
  window: number;
  callers_refused: number;
  refused: number;
}

/** GET and POST /grid/record. Times are in RFC 3339. */
export interface Holding {
  recording: boolean;
  /** Whether the configuration says so. */
  configured: boolean;
  /** When somebody chose otherwise than the configuration. */
  switched?: string;
  /** Seconds. */
  keep: number;
  max_bytes: number;
  bytes: number;
  from?: string;
  to?: string;
  /** null: not measured yet. */
  bytes_per_minute: number | null;
  unrecorded: number;
  failing: boolean;
}
