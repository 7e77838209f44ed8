// Tests the client in Node against the real server.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs, { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { createClient, type Client, type Rejection } from '../src/node.ts'
import { chaos, folder, key, keyId, patience, project, proxy, type Proxy, secret, serve, start, until } from './server.ts'

/** The numbers n of events, in order. */
const numbers = (events: { properties: Record<string, any> }[]) => events.map((e) => e.properties.n).sort((a, b) => a - b)
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i)

test('a first event, an update and who is who', async (t) => {
  const server = await start(t)
  const client = createClient({ url: server.url, project, keyId, secret })
  assert.ok(Math.abs((await client.time()) - Date.now() / 1000) < 60)
  assert.equal(await client.track('page_visit', { path: '/' }, { ids: { cookie: 'c-1' } }), true)
  assert.equal(await client.identify({ registered: 'jane', cookie: 'c-1' }, { first_name: 'Jane' }), true)
  assert.equal(await client.update({ last_name: 'Doe' }, { ids: { registered: 'jane' }, timestamp: new Date() }), true)
  const report = await client.close(patience)
  assert.deepEqual(report, { delivered: 3, rejected: 0, pending: 0, kept: false })
  assert.equal(client.server, server.url)
  const jane = await server.customer({ registered: 'jane' })
  assert.deepEqual(jane?.ids, { registered: 'jane', cookie: ['c-1'] })
  assert.deepEqual(jane?.properties, { first_name: 'Jane', last_name: 'Doe' })
  assert.equal(jane?.events[0].type, 'page_visit')
})

test('two equal events stay two', async (t) => {
  const server = await start(t)
  const client = createClient({ url: server.url, project, key })
  for (let i = 0; i < 3; i++) void client.track('click', {}, { ids: { cookie: 'c' } })
  await client.close(patience)
  assert.equal((await server.events({ cookie: 'c' })).length, 3)
})

test('what the server refuses is told, the rest of its batch is stored', async (t) => {
  const server = await start(t)
  const rejections: Rejection[] = []
  const client = createClient({ url: server.url, project, key, onReject: (r) => rejections.push(r) })
  const circle: Record<string, unknown> = {}
  circle.self = circle
  assert.equal(await client.track('a', circle, { ids: { cookie: 'c' } }), false)
  assert.equal(await client.track('a', { long: 'x'.repeat(800_000) }, { ids: { cookie: 'c' } }), false)
  void client.track('good', { n: 0 }, { ids: { cookie: 'c' } })
  void client.track('nobody')
  void client.track('nobody', {}, { ids: { registered: ' ', cookie: [] } })
  void client.track('nobody', {}, { ids: { registered: undefined as unknown as string, cookie: null as unknown as string } })
  void client.track('nobody', {}, { ids: { registered: 'anna\ud83d', cookie: 'c' } })
  void client.track('nobody', {}, { ids: { registered: 'undefined' } })
  void client.track('', {}, { ids: { cookie: 'c' } })
  void client.track('good', { n: 1 }, { ids: { registered: '', cookie: ['c', ''] } })
  const report = await client.close(patience)
  assert.deepEqual([report.delivered, report.rejected, report.pending], [2, 8, 0])
  assert.deepEqual(rejections.map((r) => r.code), [...Array(6).fill('invalid'), 'refused', 'refused'])
  assert.deepEqual(rejections.slice(2, 6).map((r) => r.reason), Array(4).fill('Error: No valid identifier.'))
  assert.deepEqual([rejections[6]!.command.data.event_type, rejections[6]!.reason], ['nobody', 'At least one id should be specified.'])
  assert.match(rejections[7]!.reason, /event_type/)
  assert.deepEqual(numbers(await server.events({ cookie: 'c' })), [0, 1])
  assert.equal(await client.track('late', {}, { ids: { cookie: 'c' } }), false)
})

test('a key that is wrong is told, and costs nothing', async (t) => {
  const server = await start(t)
  const file = join(folder(t), 'queue')
  const troubles: unknown[] = []
  const told = { onTrouble: (e: unknown) => troubles.push(e), onReject: () => assert.fail('a command is given up') }
  const client = createClient({ url: server.url, project, key: 'wrong', file, ...told })
  await assert.rejects(client.time(), /Access key not found/)
  await client.track('a', { n: 0 }, { ids: { cookie: 'c' } })
  await until('the wrong key is told', () => troubles.length > 0)
  assert.deepEqual(await client.close(100), { delivered: 0, rejected: 0, pending: 1, kept: true })
  for (const trouble of troubles) assert.match(String(trouble), /Access key not found/)
  const right = createClient({ url: server.url, project, key, file })
  assert.deepEqual(await right.close(patience), { delivered: 1, rejected: 0, pending: 0, kept: true })
  assert.deepEqual(numbers(await server.events({ cookie: 'c' })), [0])
})

test('every event is stored exactly once, whatever the network does', async (t) => {
  const server = await start(t)
  const front = await proxy(t, () => server.url, (nth) => chaos[nth % chaos.length]!)
  const client = createClient({ url: front.url, project, key, flushInterval: 20, batchSize: 14 })
  for (const n of upTo(200)) {
    assert.equal(await client.track('step', { n }, { ids: { cookie: 'c' } }), true)
    if (n % 7 === 0) await new Promise((next) => setTimeout(next, 5))
  }
  const report = await client.close(patience)
  assert.deepEqual([report.delivered, report.rejected, report.pending], [200, 0, 0])
  assert.deepEqual(numbers(await server.events({ cookie: 'c' })), upTo(200))
  for (const fate of chaos) assert.ok(front.fates.includes(fate), `no ${fate}`)
})

test('a server that is killed and comes back loses nothing', async (t) => {
  const dir = folder(t)
  let server = await start(t, { dir })
  let target = server.url
  const front = await proxy(t, () => target, () => 'pass')
  const client = createClient({ url: front.url, project, key, flushInterval: 10 })
  for (const n of upTo(300)) {
    await client.track('step', { n }, { ids: { cookie: 'c' } })
    if (n === 100) {
      const stopped = server.stop()
      target = 'http://127.0.0.1:9' // the server of another test may get the port
      await stopped
    }
    if (n === 200) {
      server = await start(t, { dir })
      target = server.url
    }
  }
  const report = await client.close(patience)
  assert.equal(report.pending, 0)
  assert.deepEqual(numbers(await server.events({ cookie: 'c' })), upTo(300))
})

test('a process that is killed has what it accepted sent by the next', async (t) => {
  const server = await start(t)
  const front = await proxy(t, () => server.url, (nth) => (nth % 2 ? 'lost' : 'pass'))
  const file = join(folder(t), 'queue', 'events.ndjson')
  // It prints each number once track has accepted it, and is killed in the
  // middle. It waits for room: we may stand still while it goes on.
  const script = `
    import { createClient } from ${JSON.stringify(new URL('../dist/node.js', import.meta.url).href)}
    const client = createClient(${JSON.stringify({ url: front.url, project, key, file, flushInterval: 5, maxQueued: 1000, whenFull: 'block' })})
    for (let n = 0; ; n++) if (await client.track('step', { n }, { ids: { cookie: 'c' } })) console.log(n)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  let last = -1
  for await (const line of createInterface({ input: child.stdout })) {
    last = Number(line)
    if (last === 500) child.kill('SIGKILL')
  }
  await (child.exitCode === null && !child.signalCode ? once(child, 'exit') : undefined)
  assert.ok(readFileSync(file + '.lock.1', 'utf8').startsWith(`${child.pid} `), 'the lock of the dead is there')
  assert.equal(statSync(file).mode & 0o777, 0o600)

  const client = createClient({ url: server.url, project, key, file })
  const report = await client.close(patience)
  assert.deepEqual([report.pending, report.kept], [0, true])
  const stored = numbers(await server.events({ cookie: 'c' }))
  // One more than those printed may have been accepted.
  assert.deepEqual(stored.slice(0, last + 1), upTo(last + 1))
  assert.ok(stored.length <= last + 2)
  assert.equal(new Set(stored).size, stored.length)
})

test('the queue on disk: pending commands are reported, kept, and sent the next time', async (t) => {
  const file = join(folder(t), 'queue')
  const options = { url: 'http://127.0.0.1:9', project, key, file, onTrouble: () => {} }
  const first = createClient(options)
  for (const n of upTo(3)) await first.track('step', { n }, { ids: { cookie: 'c' } })
  assert.throws(() => createClient(options), /in use/)
  assert.deepEqual(await first.close(50), { delivered: 0, rejected: 0, pending: 3, kept: true })
  // An incomplete line, as after a power cut, does not spoil the others.
  appendFileSync(file, 'zzzzzzzzzz {"name":"customers","data":{"customer_ids":{}')
  const server = await start(t)
  const second = createClient({ ...options, url: server.url })
  await second.track('step', { n: 3 }, { ids: { cookie: 'c' } })
  assert.deepEqual(await second.close(patience), { delivered: 4, rejected: 0, pending: 0, kept: true })
  assert.deepEqual(numbers(await server.events({ cookie: 'c' })), upTo(4))
})

test('the queue on disk: a flipped bit is reported, and spoils only its line', async (t) => {
  const file = join(folder(t), 'queue')
  const options = { url: 'http://127.0.0.1:9', project, key }
  const first = createClient({ ...options, file, onTrouble: () => {} })
  for (const n of upTo(3)) await first.track('step', { n }, { ids: { cookie: 'c' } })
  await first.close(0)
  const whole = readFileSync(file)
  const places = [...whole.keys()].filter((at) => whole[at] === 10 || at % 17 === 0)
  for (const at of places) {
    const flipped = Buffer.from(whole)
    flipped[at]! ^= 1 << at % 8
    const copy = join(folder(t), 'queue')
    writeFileSync(copy, flipped)
    const troubles: string[] = []
    const second = createClient({ ...options, file: copy, onTrouble: (trouble) => troubles.push(String(trouble)) })
    const { pending } = await second.close(0)
    assert.ok(pending < 3 && pending >= 3 - (whole[at] === 10 ? 2 : 1), `byte ${at}: ${pending} are left`)
    assert.ok(troubles.some((trouble) => trouble.includes('is damaged')), `byte ${at}: ${troubles}`)
  }
})

test('a lock whose process has ended does not hold', async (t) => {
  const file = join(folder(t), 'queue')
  writeFileSync(file + '.lock.1', `${process.pid} 1`) // the number is ours, but belonged to another process
  await createClient({ url: 'http://127.0.0.1:9', project, key, file }).close(0)
})

test('of two who come for the lock at once one gets it, wherever the other one stands', async (t) => {
  const file = join(folder(t), 'queue')
  const clients: Client[] = []
  const come = () => {
    try {
      clients.push(createClient({ url: 'http://127.0.0.1:9', project, key, file }))
    } catch (error) {
      assert.match(String(error), /in use/)
    }
  }
  const write = fs.writeFileSync
  // A file is created first and written later: the other client comes between
  // the two.
  const slow = t.mock.method(fs, 'writeFileSync', (path: string, ...rest: [string, fs.WriteFileOptions]) => {
    slow.mock.restore()
    syncBuiltinESMExports()
    fs.closeSync(fs.openSync(path, 'wx'))
    come()
    write(path, rest[0])
  })
  syncBuiltinESMExports()
  come()
  assert.equal(clients.length, 1)
  await clients[0]!.close(0)
  assert.deepEqual(fs.readdirSync(join(file, '..')), ['queue'])
})

test('a full queue drops the newest, the oldest, or makes wait, and counts', async (t) => {
  for (const [whenFull, left] of [['drop-newest', [0, 1, 2]], ['drop-oldest', [2, 3, 4]]] as const) {
    const server = await start(t)
    let up = false
    const front = await proxy(t, () => server.url, () => (up ? 'pass' : 503))
    const rejections: Rejection[] = []
    const full = { maxQueued: 3, whenFull, flushInterval: 1e6, onReject: (r: Rejection) => rejections.push(r) }
    const client = createClient({ url: front.url, project, key, ...full })
    for (const n of upTo(5)) await client.track('step', { n }, { ids: { cookie: 'c' } })
    assert.deepEqual(rejections.map((r) => r.code), ['full', 'full'])
    up = true
    assert.equal((await client.close(patience)).rejected, 2)
    assert.deepEqual(numbers(await server.events({ cookie: 'c' })), [...left])
  }
  const server = await start(t)
  const client = createClient({ url: server.url, project, key, maxQueued: 3, whenFull: 'block', flushInterval: 50 })
  const accepted = upTo(20).map((n) => client.track('step', { n }, { ids: { cookie: 'c' } }))
  assert.equal(client.report.pending, 3)
  assert.ok((await Promise.all(accepted)).every(Boolean))
  await client.close(patience)
  assert.deepEqual(numbers(await server.events({ cookie: 'c' })), upTo(20))
})

test('a batch that is not understood is halved until the culprit is found', async (t) => {
  const server = await start(t)
  // A proxy that refuses one event.
  const front = await proxy(t, () => server.url, () => 'pass')
  const picky = globalThis.fetch
  t.after(() => (globalThis.fetch = picky))
  globalThis.fetch = async (url, init) =>
    String(init?.body).includes('"n":3}') ? new Response('', { status: 413 }) : picky(url, init)
  const rejections: Rejection[] = []
  const client = createClient({ url: front.url, project, key, onReject: (r) => rejections.push(r) })
  for (const n of upTo(6)) void client.track('x', { n }, { ids: { cookie: 'c' } })
  const report = await client.close(patience)
  assert.deepEqual([report.delivered, report.rejected], [5, 1])
  assert.deepEqual(rejections.map((r) => [r.command.data.properties.n, r.reason]), [[3, 'HTTP 413']])
  assert.deepEqual(numbers(await server.events({ cookie: 'c' })), upTo(6).filter((n) => n !== 3))
})

test('another server takes over from one that fails', async (t) => {
  const server = await start(t)
  let dead: Proxy | undefined
  const one: Proxy = await proxy(t, () => server.url, () => (dead === one ? 'reset' : 'pass'))
  const two: Proxy = await proxy(t, () => server.url, () => (dead === two ? 'reset' : 'pass'))
  const client = createClient({ servers: [one.url, two.url], project, key, flushInterval: 10 })
  await client.track('step', { n: 0 }, { ids: { cookie: 'c' } })
  await client.flush(patience)
  dead = client.server === one.url ? one : two
  const alive = dead === one ? two : one
  for (const n of [1, 2]) await client.track('step', { n }, { ids: { cookie: 'c' } })
  assert.equal((await client.close(patience)).pending, 0)
  assert.equal(client.server, alive.url)
  assert.deepEqual(numbers(await server.events({ cookie: 'c' })), [0, 1, 2])
})

test('a redirect leads to the server that is used from then on', async (t) => {
  const server = await start(t)
  let asked = 0
  const url = await serve(t, (request, response) => {
    asked++
    response.writeHead(302, { Location: server.url + request.url })
    request.resume().on('end', () => response.end())
  })
  const client = createClient({ url, project, key, flushInterval: 10 })
  for (const n of upTo(3)) {
    await client.track('step', { n }, { ids: { cookie: 'c' } })
    await client.flush(patience)
  }
  await client.close(patience)
  assert.deepEqual([client.server, asked], [server.url, 1])
  assert.deepEqual(numbers(await server.events({ cookie: 'c' })), upTo(3))
})

test('the servers are read from one address, by name as well', async (t) => {
  const second = await start(t)
  const first = await start(t, { servers: [{ name: 'ts2', url: second.url }] })
  await until('the first server knows how the second is', async () => {
    const { servers } = (await (await fetch(first.url + '/api/servers')).json()) as any
    return servers.some((s: any) => s.name === 'ts2' && s.state === 'up')
  })
  const client = createClient({ servers: first.url, server: 'ts2', project, key })
  await client.track('step', { n: 0 }, { ids: { cookie: 'c' } })
  await client.close(patience)
  assert.equal(client.server, second.url)
  assert.equal((await second.events({ cookie: 'c' })).length, 1)
})
