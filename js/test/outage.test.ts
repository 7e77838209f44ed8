// Outages that must not lose anything: refused keys, stores that break,
// functions of the owner that throw or call back.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import type http from 'node:http'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createClient, type Rejection } from '../src/node.ts'
import { newQueue } from '../src/queue.ts'
import { newObjectStore, type Store } from '../src/store.ts'
import { folder, key, patience, project, serve, start, until } from './server.ts'

const ids = { cookie: 'c' }
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i)

/** Starts a server that answers once it has read the request. */
const front = (t: TestContext, answer: http.RequestListener) =>
  serve(t, (request, response) => void request.resume().on('end', () => answer(request, response)))

const command = (n: number) => ({ name: 'customers/events' as const, data: { customer_ids: ids, event_type: 'step', properties: { n } } })

for (const [status, body] of [
  [404, 'default backend - 404'],
  [404, '{"errors":{"code":404,"description":"There is no such route."}}'],
  [401, '{"success":false,"error":"Access key not found"}'],
  [403, '<html>'],
  [405, ''],
  [400, '{"success":false,"error":"Invalid project id"}'],
] as const) {
  test(`an outage that is answered by ${status} ${body} costs nothing`, async (t) => {
    t.mock.method(Math, 'random', () => 0.001) // of the longest wait
    const server = await start(t)
    let turnedAway = 0
    const url = await front(t, (request, response) => {
      if (turnedAway++ < 20) response.writeHead(status).end(body)
      else response.writeHead(307, { Location: server.url + request.url }).end()
    })
    let troubles = 0
    const told = { onTrouble: () => troubles++, onReject: (r: Rejection) => assert.fail(r.reason) }
    const client = createClient({ url, project, key, file: join(folder(t), 'queue'), maxQueued: 1000, ...told })
    await Promise.all(upTo(200).map((n) => client.track('step', { n }, { ids })))
    assert.deepEqual(await client.close(patience), { delivered: 200, rejected: 0, pending: 0, kept: true })
    assert.equal(troubles, 20)
    const stored = (await server.events(ids)).map((e) => e.properties.n).sort((a, b) => a - b)
    assert.deepEqual(stored, upTo(200))
  })
}

test('a redirect that leads to itself is asked less and less', async (t) => {
  t.mock.method(Math, 'random', () => 0.999)
  const asked: number[] = []
  const url = await front(t, (request, response) => {
    asked.push(performance.now())
    response.writeHead(307, { Location: request.url! }).end()
  })
  const client = createClient({ url, project, key, flushInterval: 1 })
  await client.track('step', {}, { ids })
  await until('it is asked a fourth time', () => asked.length > 3 * 6)
  assert.equal((await client.close(0)).pending, 1)
  // It follows five redirects, and then waits. Both ends of a wait are measured
  // at the server, so a slow machine only makes it longer.
  for (const [nth, least] of [500, 1000, 2000].entries()) {
    const first = 6 * (nth + 1)
    const waited = asked[first]! - asked[first - 1]!
    assert.ok(waited >= 0.999 * least - 50, `it waited ${waited} ms instead of ${least}`) // timers may fire early
  }
})

test('a store that breaks gives way to memory, and is closed', async () => {
  for (const broken of ['add', 'take', 'remove', 'size'] as const) {
    let closed = 0
    let works = true
    const sound = newObjectStore({}, '', true)
    const store: Store = { ...sound, close: async () => void closed++ }
    const whole = store[broken] as (...args: unknown[]) => Promise<unknown>
    Object.assign(store, { [broken]: (...args: unknown[]) => (works ? whole(...args) : Promise.reject(new Error('broken'))) })
    const troubles: unknown[] = []
    const queue = newQueue({ project, onTrouble: (e) => troubles.push(e) }, () => store)
    assert.equal(await queue.push(command(0)), true)
    works = false
    assert.equal(await queue.push(command(1)), true)
    await queue.count()
    const [first] = await queue.take(1)
    await queue.forget([first!.id])
    const rest = await queue.take(9)
    assert.deepEqual([JSON.parse(rest[0]!.body), rest.length, queue.size(), queue.kept], [command(1), 1, 1, false], broken)
    await queue.close()
    assert.deepEqual([closed, troubles.map(String)], [1, ['Error: broken']], broken)
  }
})

test('calls that come together drop the oldest, each once', async () => {
  const rejections: Rejection[] = []
  const queue = newQueue({ project, maxQueued: 3, whenFull: 'drop-oldest', onReject: (r) => rejections.push(r) }, () => newObjectStore({}))
  for (const n of upTo(3)) await queue.push(command(n))
  await Promise.all([3, 4, 5].map((n) => queue.push(command(n))))
  const left = (await queue.take(9)).map(({ body }) => JSON.parse(body).data.properties.n)
  assert.deepEqual([left, queue.size(), queue.rejected], [[3, 4, 5], 3, 3])
  assert.deepEqual(rejections.map((r) => r.command.data.properties.n), [0, 1, 2])
})

test('functions of the owner may throw, reject, and call the client', async (t) => {
  const said = t.mock.method(console, 'error', () => {})
  const url = await front(t, (_, response) => response.writeHead(413).end())
  let told = 0
  const client = createClient({
    url,
    project,
    key,
    flushInterval: 1,
    onReject: async () => {
      if (++told === 1) throw new Error('thrown')
      if (told === 2) await client.track('more', {}, { ids })
      if (told === 3) await client.flush(patience)
      if (told === 4) await client.close(patience)
    },
  })
  const sync = createClient({
    url,
    project,
    key,
    onReject: () => {
      throw new Error('thrown')
    },
  })
  await sync.track('step', {}, { ids })
  assert.equal((await sync.close(patience)).rejected, 1)
  for (const n of upTo(3)) await client.track('step', { n }, { ids })
  while (told < 4) await new Promise((next) => setTimeout(next, 5))
  assert.deepEqual(await client.close(patience), { delivered: 0, rejected: 4, pending: 0, kept: false })
  assert.deepEqual(said.mock.calls.map(({ arguments: [e] }) => String(e)), ['Error: thrown', 'Error: thrown'])
})

test('to close twice is to close once', async (t) => {
  const url = await front(t, (_, response) => response.writeHead(503).end())
  const file = join(folder(t), 'queue')
  const first = createClient({ url, project, key, file })
  await first.track('step', {}, { ids })
  const [one, two] = await Promise.all([first.close(300), first.close(300)])
  assert.deepEqual(one, { delivered: 0, rejected: 0, pending: 1, kept: true })
  assert.deepEqual(two, one)
  const second = createClient({ url, project, key, file })
  assert.deepEqual(await first.close(), one)
  assert.ok(existsSync(file + '.lock.1'), 'the lock of the next client is gone')
  await second.close(0)
})
