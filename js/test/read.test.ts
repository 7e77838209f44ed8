// Tests reads in a cluster: the client sends the position that it knows along.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { AnswerError, createClient } from '../src/node.ts'
import { keyId, patience, project, secret, serve, start } from './server.ts'

const name = 'trackway-position'

interface Asked {
  path: string
  position: string | undefined
}

type Answer = (asked: Asked) => { status?: number; position?: string; location?: string; body?: unknown } | undefined

/** A member of a cluster that answers as a function says. */
async function member(t: TestContext, answer: Answer) {
  const asked: Asked[] = []
  const url = await serve(t, (request, response) => {
    const one = { path: request.url!, position: request.headers[name] as string | undefined }
    asked.push(one)
    request.resume().on('end', () => {
      const said = answer(one)
      if (!said) return void request.socket.destroy()
      const headers = { ...(said.position && { [name]: said.position }), ...(said.location && { Location: said.location }) }
      response.writeHead(said.status ?? 200, headers).end(JSON.stringify(said.body ?? {}))
    })
  })
  return { asked, url }
}

const refused = { success: false, errors: { 'Trackway-Position': ['No.'] } }

test('a write at one server is seen at another one', async (t) => {
  let dead = ''
  const answer = (url: () => string): Answer => ({ path, position }) => {
    if (url() === dead) return undefined
    if (path.endsWith('/batch')) return { position: '0.7', body: { results: [{ success: true }] } }
    return { position: '0.8', body: { sent: position } }
  }
  const one = await member(t, answer(() => one.url))
  const two = await member(t, answer(() => two.url))
  const client = createClient({ servers: [one.url, two.url], project, keyId, secret, flushInterval: 1 })
  assert.equal(client.position, '')
  await client.track('step', {}, { ids: { cookie: 'c' } })
  await client.flush(patience)
  assert.equal(client.position, '0.7')
  dead = client.server
  assert.deepEqual(await client.read('customers/events', {}, patience), { sent: '0.7' })
  assert.equal(client.position, '0.8')
  assert.notEqual(client.server, dead)
})

test('a cluster that does not know the position is asked once more, without it', async (t) => {
  const { url, asked } = await member(t, ({ position }) =>
    position && position !== '0.5' ? { status: 400, position: '0.5', body: refused } : { position: '0.5', body: { n: 1 } },
  )
  const client = createClient({ url, project, keyId, secret })
  assert.throws(() => client.after('soon'), TypeError)
  for (const position of ['0.900', '', '0.40']) client.after(position)
  for (let i = 0; i < 2; i++) assert.deepEqual(await client.read('customers/events', {}, patience), { n: 1 })
  assert.deepEqual(asked.map(({ position }) => position), ['0.900', undefined, '0.5'])
})

test('a question that is refused is not asked again', async (t) => {
  const { url, asked } = await member(t, () => ({ status: 400, body: refused }))
  const client = createClient({ url, project, keyId, secret })
  client.after('0.900')
  await assert.rejects(client.read('customers/events', {}, patience), (error) => error instanceof AnswerError && error.status === 400 && error.message === 'No.')
  assert.equal(asked.length, 2)
})

test('a question follows a redirect, with its position', async (t) => {
  const two = await member(t, ({ position }) => ({ body: { sent: position } }))
  const one = await member(t, ({ path }) => ({ status: 307, location: two.url + path }))
  const client = createClient({ url: one.url, project, keyId, secret })
  client.after('0.9')
  for (let i = 0; i < 2; i++) assert.deepEqual(await client.read('/customers/events', {}, patience), { sent: '0.9' })
  assert.deepEqual([one.asked.length, client.server], [1, two.url])
})

test('nobody answers', async (t) => {
  const { url } = await member(t, () => ({ status: 503, body: { message: 'Try again.' } }))
  const client = createClient({ url, project, keyId, secret, onTrouble: () => {} })
  await assert.rejects(client.read('customers/events', {}, 200), /Try again\.|wait for too long/) // the first try may lack the time
  await client.close(patience)
  await assert.rejects(client.read('customers/events', {}, patience), /closed/)
})

test('a server that stands alone has no positions', async (t) => {
  const server = await start(t)
  const client = createClient({ url: server.url, project, keyId, secret, flushInterval: 1 })
  client.after('0.900')
  await client.track('step', { n: 1 }, { ids: { cookie: 'c' } })
  await client.flush(patience)
  const { data } = await client.read('customers/events', { customer_ids: { cookie: 'c' }, event_types: ['step'] }, patience)
  assert.equal(data[0].properties.n, 1)
  await client.close(patience)
})
