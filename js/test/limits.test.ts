// Tests that the client keeps to the server's limits.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient } from '../src/node.ts'
import { key, patience, project, proxy, serve, start } from './server.ts'

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
  const server = await start(t, { limit: { limit: 5, window: '3s' } })
  let told = 0
  let refused = 0
  let back = 0
  // The first request is answered as the server answers once it refuses,
  // however long it takes to use up the limit. The next one is sent on to the
  // server.
  const url = await serve(t, async (request, response) => {
    request.resume()
    if (refused) {
      back ||= performance.now()
      return response.writeHead(307, { Location: server.url + request.url }).end()
    }
    let answer, body
    do {
      answer = await fetch(`${server.url}/track/v2/projects/${project}/system/time?access_token=${key}`)
      body = await answer.text()
    } while (answer.status !== 429)
    told = Number(answer.headers.get('Retry-After'))
    refused = performance.now()
    response.writeHead(429, { 'Retry-After': told }).end(body) // and no fields about the limit, which say the same
  })
  let troubles = 0
  const client = createClient({ url, project, key, onTrouble: () => troubles++ })
  await client.track('step', {}, { ids: { cookie: 'c' } })
  const report = await client.close(patience)
  assert.deepEqual([report.delivered, client.server], [1, server.url])
  assert.equal(troubles, 1, 'it is refused once')
  const slack = 50 // milliseconds that timers may fire early
  assert.ok(told >= 1 && back - refused >= told * 1000 - slack, `it waited ${back - refused} ms instead of ${told} s`)
  assert.equal((await server.events({ cookie: 'c' })).length, 1)
})
