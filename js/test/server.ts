// A real server for the tests, and a proxy in front of it that behaves like a
// bad network.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

export const project = '12345678-1234-1234-1234-123456789abc'
export const key = 'public-key-7d1f0c52aa'
export const keyId = 'private-id-0b9e6f41c3'
export const secret = 'secret-key-e83a1795d4'

const root = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Milliseconds that anything may take on a busy machine. Without a number,
 * flush and close give up after ten seconds.
 */
export const patience = 120_000

export const wide = { limit: 4_000_000, window: '60s' }

/** The program, which build.mjs builds before the tests. */
const binary = join(root, 'bin', 'trackway-js-test')

/** A running server. */
export interface Server {
  url: string
  /** Returns the events of a customer, read with the private key. */
  events(ids: object): Promise<{ type: string; timestamp: number; properties: Record<string, any> }[]>
  /** Returns a customer, or undefined if it does not exist. */
  customer(ids: object): Promise<{ ids: any; properties: any; events: any[] } | undefined>
  /** Returns the counts of all months: one can end during a test. */
  usage(): Promise<{ processed: number; duplicate: number }>
  stop(): Promise<void>
}

export interface Settings {
  limit?: { limit: number; window: string }
  listen?: string
  dir?: string
  servers?: { name: string; url: string }[]
}

/** Starts a server that runs until the end of the test. */
export async function start(t: TestContext, { limit = wide, listen = '127.0.0.1:0', dir, servers = [] }: Settings = {}): Promise<Server> {
  const home = dir ?? mkdtempSync(join(tmpdir(), 'trackway-js-'))
  const config = join(home, 'trackway.yaml')
  writeFileSync(config, configuration(limit, servers), { mode: 0o600 })
  const args = ['serve', '--config', config, '--data', join(home, 'data'), '--listen', listen, '--ops-listen', '127.0.0.1:0']
  const child = spawn(binary, [...args, '--log-format', 'json'], { stdio: ['ignore', 'ignore', 'pipe'] })
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  t.after(async () => {
    await stop()
    if (!dir) rmSync(home, { recursive: true, force: true }) // afterwards, because the server makes files
  })
  const url = 'http://' + (await ready(child))
  const headers = { Authorization: 'Basic ' + Buffer.from(`${keyId}:${secret}`).toString('base64') }
  const customer = async (ids: object) => {
    const answer = await fetch(`${url}/data/v2/projects/${project}/customers/export-one`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ customer_ids: ids }),
    })
    if (answer.status === 404) return undefined
    if (!answer.ok) throw new Error(`export-one: ${answer.status} ${await answer.text()}`)
    return (await answer.json()) as any
  }
  const usage = async () => {
    const { months } = (await (await fetch(`${url}/api/projects/${project}/usage`, { headers })).json()) as any
    const sum = (name: string) => months.reduce((all: number, month: any) => all + month[name], 0)
    return { processed: sum('processed'), duplicate: sum('duplicate') }
  }
  return { url, customer, usage, stop, events: async (ids) => (await customer(ids))?.events ?? [] }
}

/** Makes a folder that exists until the end of the test. */
export function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'trackway-js-'))
  t.after(() => rmSync(dir, { recursive: true, force: true, maxRetries: 10 })) // a server may still make files
  return dir
}

function configuration({ limit, window }: { limit: number; window: string }, servers: { name: string; url: string }[]): string {
  return `
server: {name: ts1}
servers: ${JSON.stringify(servers)}
projects:
  - name: demo
    token: ${project}
    identifiers: {hard: [registered], soft: [cookie]}
    keys:
      - {name: web, kind: public, token: "${key}"}
      - {name: backend, kind: private, id: "${keyId}", secret: "${secret}"}
limits:
  - {name: track, paths: [/track/], limit: ${limit}, window: ${window}, per: ip, allow_below_floor: true}
  - {name: api, paths: [/api/, /data/], limit: 4000000, window: 60s, per: ip}
  - {name: grid, paths: [/grid/], limit: 4000000, window: 60s, per: ip}
`
}

/** Resolves with the address once the server says that it is ready. */
async function ready(child: ChildProcess): Promise<string> {
  let said = ''
  for await (const line of createInterface({ input: child.stderr! })) {
    said += line + '\n'
    try {
      const { msg, public: address } = JSON.parse(line)
      if (msg === 'ready') {
        child.stderr!.resume()
        return address
      }
    } catch {
      // A line that is not from the log.
    }
  }
  throw new Error('the server ended:\n' + said)
}

/** The ways in which a proxy can treat a request. */
export type Fate = 'pass' | 'mute' | 'slow' | 'reset' | 'lost' | 'cut' | 500 | 503 | 429

/** A proxy in front of a server. */
export interface Proxy {
  url: string
  /** The treatment of each request so far. */
  fates: Fate[]
  /** Statuses of the answers that it passed on. */
  statuses: number[]
}

/** Starts a proxy that calls fate for every request except preflights. */
export async function proxy(t: TestContext, target: () => string, fate: (nth: number) => Fate): Promise<Proxy> {
  const fates: Fate[] = []
  const statuses: number[] = []
  const agent = new http.Agent({ keepAlive: true })
  const url = await serve(t, (request, response) => {
    const what = request.method === 'OPTIONS' ? 'pass' : fate(fates.length)
    if (request.method !== 'OPTIONS') fates.push(what)
    if (what === 'reset') return void request.socket.resetAndDestroy()
    if (typeof what === 'number' || what === 'mute') {
      request.resume()
      response.writeHead(what === 'mute' ? 200 : what, { 'Access-Control-Allow-Origin': '*', 'Content-Type': 'application/json' })
      if (what === 'mute') return void response.end('{"results":[{}],"success":true}') // as for one command
      return void response.end('{"errors":{"code":0,"description":"chaos"}}')
    }
    const { pathname, search } = new URL(request.url!, 'http://x')
    const options = { agent, method: request.method, path: pathname + search, headers: request.headers }
    const onward = http.request(target(), options, (answer) => {
      statuses.push(answer.statusCode!)
      if (what === 'lost') return answer.resume().on('end', () => request.socket.resetAndDestroy())
      if (what === 'cut') return cut(answer, response)
      const pass = () => {
        response.writeHead(answer.statusCode!, answer.headers)
        answer.pipe(response)
      }
      if (what === 'slow') setTimeout(pass, 100)
      else pass()
    })
    onward.on('error', () => request.socket.destroy())
    request.on('error', () => onward.destroy()).pipe(onward)
  })
  t.after(() => agent.destroy())
  return { url, fates, statuses }
}

/** Starts a server with the given answers, until the end of the test. */
export async function serve(t: TestContext, answer: http.RequestListener): Promise<string> {
  const server = http.createServer(answer)
  // It closes no connection that waits for the next request: a client can send
  // that at the same moment, and would see a failure.
  server.keepAliveTimeout = 0
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Passes on half of an answer, and breaks the connection. */
function cut(answer: http.IncomingMessage, response: http.ServerResponse): void {
  const parts: Buffer[] = []
  answer.on('data', (part: Buffer) => parts.push(part))
  answer.on('end', () => {
    const body = Buffer.concat(parts)
    response.writeHead(answer.statusCode!, { ...answer.headers, 'content-length': String(body.length) })
    response.write(body.subarray(0, body.length / 2), () => response.socket?.resetAndDestroy())
  })
}

/**
 * Everything that can go wrong, each at least once, with at most two failures
 * in a row: the waits double with each.
 */
export const chaos: readonly Fate[] = ['lost', 'pass', 'reset', 'cut', 'slow', 500, 'pass', 503, 'lost', 'pass', 429, 'pass', 'cut', 'slow']

/** Waits until a condition holds. */
export async function until(what: string, so: () => Promise<boolean> | boolean): Promise<void> {
  const end = Date.now() + patience
  while (!(await so())) {
    if (Date.now() > end) throw new Error(`after ${patience} ms it is not so that ${what}`)
    await new Promise((next) => setTimeout(next, 20))
  }
}
