// Tests the SDK against openapi/vectors, the files that also test the Go SDK.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { again, judge, type Range } from '../src/answer.ts'
import { due, fitting, interval, maxCommands } from '../src/core.ts'
import { stamp } from '../src/clock.ts'
import { allowances, delay, newPacer, sample } from '../src/pace.ts'
import { header, newPlace } from '../src/position.ts'
import { maxData, someone } from '../src/queue.ts'
import { decide, note as noteAnswer } from '../src/reader.ts'
import { moved } from '../src/redirect.ts'
import { gzipFrom } from '../src/sender.ts'
import { candidates, listed, type Server } from '../src/servers.ts'

interface Case {
  name: string
  redirects?: boolean
  given: any
  expect: any
}

const folder = new URL('../../openapi/vectors/', import.meta.url)
const load = (name: string): { parameters?: any; cases: Case[] } => JSON.parse(readFileSync(new URL(name, folder), 'utf8'))

/**
 * Runs the cases of a file. An unknown member of given would be a rule that the
 * SDK does not know.
 */
function vectors(name: string, known: string[], run: (c: Case, parameters: any) => void): void {
  describe(name, () => {
    const { parameters, cases } = load(name)
    assert.ok(cases.length > 0)
    for (const c of cases) {
      test(c.name, () => {
        for (const member of Object.keys(c.given)) assert.ok(known.includes(member), `unknown member ${member}`)
        run(c, parameters)
      })
    }
  })
}

function assertRange(got: Range | undefined, want: number[] | null): void {
  if (want === null) return assert.equal(got, undefined)
  assert.ok(got, 'there is no delay')
  assert.deepEqual(got.map((s) => Math.round(s * 1000)), want.map((s) => Math.round(s * 1000)))
}

const milliseconds = (date: string | undefined) => (date ? Date.parse(date) : Date.now())

const backoffMembers = ['attempt', 'commands', 'status', 'headers', 'body', 'error', 'now', 'url', 'moves']
vectors('backoff.json', backoffMembers, ({ given, expect }) => {
  const headers = new Headers(given.headers)
  if (given.url) {
    const to = moved(given.status, headers.get('Location'), given.url, given.moves ?? 0)
    if (expect.action === 'move') return assert.equal(to, expect.url)
    assert.equal(to, undefined)
  }
  const verdict = given.error
    ? again(given.error, given.attempt, true)
    : judge(given.status, headers, given.body ?? '', given.commands, given.attempt, milliseconds(given.now))
  assert.equal(verdict.action, expect.action)
  if (expect.reason) assert.equal((verdict as { why?: string }).why, expect.reason)
  if (verdict.action !== 'retry') return
  assert.equal(verdict.failover, expect.failover)
  assertRange(verdict.delay, expect.delay)
})

vectors('results.json', ['commands', 'body'], ({ given, expect }) => {
  const verdict = judge(200, new Headers(), given.body, given.commands, 1)
  assert.equal(verdict.action, expect.action)
  if (verdict.action !== 'done') return
  const names = verdict.outcomes.map((o) => (o === undefined ? 'delivered' : o === null ? 'again' : 'rejected'))
  assert.deepEqual(names, expect.outcomes)
  if (expect.reasons) assert.deepEqual(verdict.outcomes.map((o) => o ?? ''), expect.reasons)
})

vectors('pacing.json', ['cost', 'headers', 'now', 'answers'], ({ given, expect }) => {
  if (given.answers) {
    const pacer = newPacer()
    const costs = given.answers.map(({ policy, r, t, at, calls }: any) => {
      pacer.calls += calls
      sample(pacer, { policy, r, t }, at)
      return pacer.cost
    })
    return assert.deepEqual(costs, expect.costs)
  }
  const delays = allowances(new Headers(given.headers), milliseconds(given.now)).map((a) => delay(a, given.cost))
  assertRange(delays.sort((a, b) => b[0] - a[0])[0], expect.delay)
})

vectors('batching.json', ['sizes', 'waiting', 'oldest', 'flush', 'data_bytes', 'body_bytes'], ({ given, expect }) => {
  if (given.data_bytes) return assert.equal(given.data_bytes <= maxData, expect.taken)
  if (given.body_bytes) return assert.equal(given.body_bytes >= gzipFrom, expect.gzip)
  if (given.waiting !== undefined) return assert.equal(due(given.waiting, given.oldest * 1000, given.flush ?? false, interval, maxCommands), expect.due)
  const sizes: number[] = Array.isArray(given.sizes) ? [...given.sizes] : Array(given.sizes.times).fill(given.sizes.each)
  const batches = []
  while (sizes.length) batches.push(sizes.splice(0, fitting(sizes)).length)
  assert.deepEqual(batches, expect.batches)
})

vectors('identifiers.json', ['ids'], ({ given, expect }) => assert.equal(someone(Object.values(given.ids)), expect.taken))

vectors('timestamps.json', ['clock'], ({ given, expect }) => {
  stamp(-Infinity) // each case has a client of its own
  const got = given.clock.map((reading: number) => JSON.stringify(stamp(reading) / 1e6))
  assert.deepEqual(got, expect.timestamps)
})

vectors('servers.json', ['now', 'servers', 'current', 'want', 'asked', 'answer'], ({ given, expect }) => {
  if (given.answer) return assert.deepEqual(listed(given.asked, given.answer), expect.servers)
  const all: Server[] = given.servers.map((s: Partial<Server>) => ({ name: '', region: '', state: 'up', ...s }))
  const { from, wait } = candidates(all, given.current, given.want ?? {}, given.now)
  assert.deepEqual(from.map(({ url }) => url), expect.any_of)
  if (expect.wait !== undefined) assert.equal(Math.round(wait * 1000), expect.wait * 1000)
})

vectors('positions.json', ['held', 'sent', 'answer', 'error', 'body', 'stored', 'status'], ({ given, expect }, parameters) => {
  assert.equal(parameters.header, header)
  const { status, body = '', sent = '', stored, answer = null } = given
  const place = newPlace(given.held)
  if (!expect.action) place.learn(answer, sent, stored)
  else {
    const decision: any = given.error ? again(given.error, 1, true) : decide(status, new Headers(), body, sent, 1)
    noteAnswer(place, decision.action, answer, sent)
    assert.equal(decision.action, expect.action)
    assert.equal(decision.failover ?? false, expect.failover ?? false)
    if (expect.reason) assert.equal(decision.why, expect.reason)
  }
  assert.equal(place.held, expect.held ?? '')
})

test('there is no file of vectors that is not read', () => {
  const read = ['backoff.json', 'batching.json', 'identifiers.json', 'pacing.json', 'positions.json', 'results.json', 'servers.json', 'timestamps.json']
  assert.deepEqual(readdirSync(folder).filter((name) => name.endsWith('.json')).sort(), read)
})

