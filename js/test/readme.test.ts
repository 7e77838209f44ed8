// Runs the examples in js/README.md. They import the package by its
// own name, as its users do.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createClient as inPages, type BrowserClient } from '@trackway/sdk/browser'
import { createClient, type Client, type Report } from '@trackway/sdk/node'
import { key, patience, project, start } from './server.ts'

test('the example for Node', async (t) => {
  const server = await start(t)
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const code = [...readme.matchAll(/```js\n([^]*?)```/g)].map(([, code]) => code!).find((code) => code.includes('@trackway/sdk/node'))!
  const filled = code.replace('https://track.example.com', server.url).replace('your-project-token', project).replace('your-public-key', key)
  const real = filled.replace('close()', `close(${patience})`) // its ten seconds can be too short on a busy machine
  const file = fileURLToPath(new URL('./readme.mjs', import.meta.url))
  writeFileSync(file, real)
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (text: Buffer) => (said += text))
  assert.deepEqual(await once(child, 'close'), [0, null])
  assert.equal(said.trim(), /console\.log.*\/\/ (.*)/.exec(code)![1])
  assert.deepEqual((await server.events({ registered: 'jane@example.com' }))[0]?.properties, { total: 7.99 })
})

test('the types are those of the entry points', () => {
  const make: (...args: Parameters<typeof createClient>) => Client = createClient
  const page: (...args: Parameters<typeof inPages>) => BrowserClient = inPages
  // @ts-expect-error: a report has no such member
  const wrong = (report: Report) => report.lost
  // @ts-expect-error: a page needs a public key
  const keyless = () => inPages({ url: '', project: '' })
  assert.ok([make, page, wrong, keyless].every((f) => typeof f === 'function'))
  assert.throws(() => createClient({ url: 'http://127.0.0.1:9', project }), TypeError)
  assert.throws(() => createClient({ project, key }), TypeError)
})
