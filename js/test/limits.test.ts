// Tests that the client keeps to the server's limits.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient } from '../src/node.ts'
import { key, project, proxy, start } from './server.ts'

/** Twenty requests in two seconds, and ten times as many to send. */
const tight = { limit: 20, window: '2s' }

test('a client that obeys is not refused once, at ten times the limit', async (t) => {
  const server = await start(t, { limit: tight })
  const front = await proxy(t, () => server.url, () => 'pass')
  const client = createClient({ url: front.url, project, key, batchSize: 1, flushInterval: 0 })
  // On a busy machine, it takes longer until more than one window is used.
  const end = Date.now() + 5000
  const last = end + 60_000
  let n = 0
  while (Date.now() < end || (front.statuses.length <= 20 && Date.now() < last)) {
    void client.track('step', { n: n++ }, { ids: { cookie: 'c' } })
    await new Promise((next) => setTimeout(next, 10))
  }
  await client.close(0)
  const refused = front.statuses.filter((status) => status === 429).length
  t.diagnostic(`${n} events, ${front.statuses.length} requests, ${refused} refused`)
  assert.equal(refused, 0)
  // The client also uses the limit: more than one window's worth.
  assert.ok(front.statuses.length > 20, `only ${front.statuses.length} requests`)
})

test('a client that is refused comes back when it is told to, and not before', async (t) => {
  // The window is long enough for a busy machine to use it up and to make one
  // more call in it.
  const server = await start(t, { limit: { limit: 20, window: '10s' } })
  for (let i = 0; i < 20; i++) await fetch(`${server.url}/track/v2/projects/${project}/system/time?access_token=${key}`)
  const times: number[] = []
  const front = await proxy(t, () => server.url, () => (times.push(performance.now()), 'pass'))
  const client = createClient({ url: front.url, project, key })
  await client.track('step', {}, { ids: { cookie: 'c' } })
  const report = await client.close(60_000)
  assert.equal(report.delivered, 1)
  assert.deepEqual(front.statuses, [429, 200])
  const slack = 50 // milliseconds that timers may fire early, and requests take
  assert.ok(times[1]! - times[0]! >= 1000 - slack, `it waited ${times[1]! - times[0]!} ms`)
  assert.equal((await server.events({ cookie: 'c' })).length, 1)
})
