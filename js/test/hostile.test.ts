// Tests unexpected behaviour of callers, networks and other processes.
import assert from 'node:assert/strict'
import fs, { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createClient, type Client, type Rejection } from '../src/node.ts'
import { folder, key, patience, project, proxy, serve, start } from './server.ts'

const ids = { cookie: 'c' }
const nowhere = { url: 'http://127.0.0.1:9', project, key }

test('an invalid time is reported, and never thrown: an event without a time that is sent twice would be stored twice', async (t) => {
  const server = await start(t)
  const rejections: Rejection[] = []
  const client = createClient({ url: server.url, project, key, onReject: (r) => rejections.push(r) })
  const track = (timestamp: any, properties = {}) => client.track('step', properties, { ids, timestamp })
  for (const time of [new Date('soon'), NaN, Infinity, 'soon', {}]) assert.equal(await track(time), false, String(time))
  assert.equal(await client.update({}, { ids, timestamp: new Date(NaN) }), false)
  assert.deepEqual(rejections.map((r) => r.code), Array(6).fill('invalid'))
  for (const time of [null, undefined, 1_700_000_000, new Date(1_700_000_001_000)]) assert.equal(await track(time), true)
  assert.equal(await track(1_700_000_002, { timestamp: null, text: 'timestamp":null}' }), true)
  assert.equal(await client.track('step', {}, null as any), false) // about nobody: every server refuses it
  assert.deepEqual(await client.close(patience), { delivered: 5, rejected: 7, pending: 0, kept: false })
})

test('what begins to wait after a client is stopped does not keep it', async (t) => {
  const mute = await serve(t, () => {}) // the list of servers never comes
  // A wait of ten seconds would begin, and a slow machine can take that long
  // for anything. So such a wait never ends here.
  const { setTimeout } = globalThis
  const long = (what: () => void, ms: number) => setTimeout(what, ms < 10_000 ? ms : 2 ** 31 - 1)
  t.mock.method(globalThis, 'setTimeout', long as typeof setTimeout)
  const client = createClient({ project, key, servers: mute, server: 'ts1', flushInterval: 1 })
  await client.track('step', {}, { ids })
  let late: ReturnType<typeof setTimeout> | undefined
  const enough = new Promise((done) => (late = setTimeout(done, patience)))
  const report = await Promise.race([client.close(100), enough])
  clearTimeout(late)
  assert.deepEqual(report, { delivered: 0, rejected: 0, pending: 1, kept: false })
})

test('a redirect to an address below another one leads there', async (t) => {
  const asked: string[] = []
  const next = await serve(t, (request, response) => {
    asked.push(request.url!)
    request.resume().on('end', () => response.end('{"results":[{"success":true}],"success":true}'))
  })
  const url = await serve(t, (request, response) => {
    request.resume().on('end', () => response.writeHead(307, { Location: next + '/base' + request.url }).end())
  })
  const client = createClient({ url, project, key })
  for (let n = 0; n < 2; n++) {
    await client.track('step', { n }, { ids })
    await client.flush(patience)
  }
  assert.equal((await client.close(patience)).delivered, 2)
  assert.deepEqual([client.server, asked], [next + '/base', Array(2).fill(`/base/track/v2/projects/${project}/batch`)])
})

test('a file that cannot be used is let go of', async (t) => {
  const home = folder(t)
  const file = join(home, 'queue')
  mkdirSync(file)
  assert.throws(() => createClient({ ...nowhere, file }), /EISDIR/)
  rmSync(file, { recursive: true })
  assert.deepEqual(readdirSync(home), [])
  await createClient({ ...nowhere, file }).close(0)
})

/** The functions of node:fs that taking a lock uses. */
const used = ['linkSync', 'readdirSync', 'readFileSync', 'rmSync', 'writeFileSync'] as const

/**
 * Calls what before the nth call of any of the used functions. restore returns
 * whether there was an nth call.
 */
function before(t: TestContext, nth: number, what: () => void): { restore(): boolean } {
  let calls = 0
  const real = Object.fromEntries(used.map((name) => [name, fs[name]]))
  const restore = () => {
    Object.assign(fs, real)
    syncBuiltinESMExports()
    return calls > nth
  }
  for (const name of used) {
    Object.assign(fs, {
      [name]: (...args: unknown[]) => {
        if (calls++ === nth) {
          restore()
          what()
        }
        return (real[name] as (...args: unknown[]) => unknown)(...args)
      },
    })
  }
  syncBuiltinESMExports()
  t.after(restore)
  return { restore }
}

const visits = { comes: 1, 'comes and goes': 2, 'comes and goes, and a third comes': 3 }

for (const [what, steps] of Object.entries(visits)) {
  test(`of those who find the lock of a dead one, one gets it, at whatever moment another ${what}`, async (t) => {
    for (let nth = 0; ; nth++) {
      const home = folder(t)
      const file = join(home, 'queue')
      writeFileSync(file + '.lock.1', `${process.pid} 1`) // the number is ours, but belonged to another process
      const clients: Client[] = []
      const come = () => {
        try {
          clients.push(createClient({ ...nowhere, file }))
        } catch (error) {
          assert.match(String(error), /in use/)
        }
      }
      const { restore } = before(t, nth, () => {
        const there = readdirSync(home)
        come()
        if (steps > 1 && clients.pop()) {
          for (const name of readdirSync(home)) if (!there.includes(name)) rmSync(join(home, name)) // as closing does
        }
        if (steps > 2) come()
      })
      come()
      const inTime = restore()
      if (steps === 2) assert.ok(clients.length <= 1) // a client that has the lock only for a moment may be in the way
      else assert.equal(clients.length, 1, `${clients.length} have the lock, call ${nth}`)
      assert.equal(readdirSync(home).filter((name) => name.includes('.lock')).length, clients.length, `call ${nth}`)
      for (const client of clients) await client.close(0)
      if (!inTime) return
    }
  })
}

test('a file that fills its disk is used again once all is delivered, by the next process at the latest', async (t) => {
  const server = await start(t)
  let up = false
  const { url } = await proxy(t, () => server.url, () => (up ? 'pass' : 503))
  const file = join(folder(t), 'queue')
  const handle = await fs.promises.open(file, 'w')
  const { appendFile } = Object.getPrototypeOf(handle)
  await handle.close()
  const { openSync } = fs
  /**
   * From now on, files can be created and removed, but nothing can be written
   * into ours.
   */
  const fill = (full = true) => {
    Object.getPrototypeOf(handle).appendFile = full
      ? () => Promise.reject(Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }))
      : appendFile
    fs.openSync = (path, ...how) => {
      if (!full || !String(path).startsWith(file + '.new')) return openSync(path, ...how)
      fs.closeSync(openSync(path, ...how))
      return openSync(path, 'r')
    }
    syncBuiltinESMExports()
  }
  const free = () => fill(false)
  t.after(free)

  const troubles: string[] = []
  const options = { url, project, key, file, flushInterval: 10, onTrouble: (e: unknown) => troubles.push((e as { code: string }).code) }
  const disk = () => troubles.filter((code) => ['ENOSPC', 'EBADF'].includes(code)).length
  const first = createClient(options)
  assert.equal(await first.track('step', { n: 0 }, { ids }), true)
  fill()
  for (const n of [1, 2]) assert.equal(await first.track('step', { n }, { ids }), true)
  assert.deepEqual([first.report, disk()], [{ delivered: 0, rejected: 0, pending: 3, kept: false }, 1])
  up = true
  await first.flush(patience)
  assert.equal(fs.statSync(file).size, 0, 'the room is given back, although nothing can be written')
  free()
  up = false
  assert.equal(await first.track('step', { n: 3 }, { ids }), true)
  assert.deepEqual(await first.close(0), { delivered: 3, rejected: 0, pending: 1, kept: true })

  fill()
  up = true
  const next = createClient(options) // nothing of it can be stored, not even the beginning
  assert.equal(await next.track('step', { n: 4 }, { ids }), true)
  assert.deepEqual([(await next.close(patience)).delivered, disk()], [2, 2])
  free()
  const stored = (await server.events(ids)).map((e) => e.properties.n)
  assert.deepEqual(stored, [0, 1, 2, 3, 4])
  assert.equal(fs.statSync(file).size, 0)
})
