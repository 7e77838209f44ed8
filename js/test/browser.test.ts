// Tests the client in Chromium against the real server, on pages with the
// strictest content security policy.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test, type TestContext } from 'node:test'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core'
import type { BrowserClient, createClient as create } from '../src/browser.ts'
import { chaos, key, patience, project, proxy, serve, start, until, type Fate } from './server.ts'

/** The test page's interface for the tests. */
declare global {
  var createClient: typeof create
  var client: BrowserClient
  var accepted: (n: number) => void
}

// Functions that run in pages see nothing of this file, so they have `patience`
// as 120_000.

let browser: Browser
before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'], timeout: patience })
})
after(() => browser?.close())

const numbers = (events: { properties: Record<string, any> }[]) => events.map((e) => e.properties.n).sort((a, b) => a - b)
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i)
const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8')

/**
 * Serves two pages: the example with its data filled in, and a bare one that
 * only offers createClient.
 */
async function site(t: TestContext, url: string, ...others: string[]): Promise<string> {
  const example = read('../example/index.html').replace('{{url}}', url).replace('{{project}}', project).replace('{{key}}', key)
  const files: Record<string, [type: string, text: string]> = {
    '/example/': ['text/html', example],
    '/example/app.js': ['text/javascript', read('../example/app.js').replace('flush()', `flush(${patience})`)],
    '/example/style.css': ['text/css', read('../example/style.css')],
    '/example/sdk.js': ['text/javascript', read('../dist/browser.js')],
    '/bare.js': ['text/javascript', "import { createClient } from './example/sdk.js'\nglobalThis.createClient = createClient"],
    '/': ['text/html', '<!doctype html><title>bare</title><script type="module" src="/bare.js"></script>'],
  }
  return serve(t, (request, response) => {
    const [type, text] = files[new URL(request.url!, 'http://x').pathname] ?? files['/']!
    response.setHeader('Content-Type', type + '; charset=utf-8')
    const trusted = "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    const self = `default-src 'none'; script-src 'self'; style-src 'self'; ${trusted}`
    const sandbox = request.url === '/sandbox' ? '; sandbox allow-scripts' : ''
    response.setHeader('Content-Security-Policy', `${self}; connect-src ${[url, ...others].join(' ')}${sandbox}`)
    response.setHeader('Access-Control-Allow-Origin', '*') // for the sandbox's requests
    response.end(text)
  })
}

/**
 * Returns a browser without a past, until the end of the test. The test fails
 * if a page complains, for example about its policy.
 */
async function fresh(t: TestContext): Promise<BrowserContext> {
  const context = await browser.newContext()
  context.setDefaultTimeout(patience)
  const complaints: string[] = []
  context.on('weberror', (e) => complaints.push(String(e.error())))
  context.on('console', (m) => /content security|trusted/i.test(m.text()) && complaints.push(m.text()))
  t.after(async () => {
    await context.close()
    assert.deepEqual(complaints, [])
  })
  return context
}

/** Starts a server, a proxy in front of it, a site, and a browser. */
async function scene(t: TestContext, fate: (nth: number) => Fate = () => 'pass') {
  const server = await start(t)
  const front = await proxy(t, () => server.url, fate)
  const origin = await site(t, front.url, server.url)
  const context = await fresh(t)
  const options = { url: front.url, project, key, timeout: patience }
  const open = async (more: object = {}): Promise<Page> => {
    const page = await context.newPage()
    await page.goto(origin + '/')
    await page.waitForFunction(() => !!globalThis.createClient)
    await page.evaluate((o) => void (globalThis.client = createClient(o)), { ...options, ...more } as any)
    return page
  }
  const cookie = async () => (await context.cookies()).find((c) => c.name === 'trackway_id')
  return { server, front, origin, context, options, open, cookie }
}

/** Returns everything that a page has stored. */
const remains = (page: Page) =>
  page.evaluate(async () => ({
    cookie: document.cookie,
    local: Object.keys(localStorage),
    databases: (await indexedDB.databases()).map(({ name }) => name),
  }))

test('the bundle is 6.4 kB, rounded, and needs nothing else', async () => {
  const { gzipSync } = await import('node:zlib')
  const bundle = read('../dist/browser.js').replace(/\n\/\/# sourceMappingURL=.*\n?$/, '')
  const packed = gzipSync(bundle, { level: 9 }).length
  console.log(`# bundle: ${bundle.length} bytes, ${packed} gzipped`)
  assert.ok(packed < 6450, `${packed} bytes gzipped`)
  assert.doesNotMatch(bundle, /\b(import|require)\b *[("'{]/)
})

test('the example: consent, a purchase, a sign-in and a change of address', async (t) => {
  const { server, front, origin, context, cookie } = await scene(t)
  const page = await context.newPage()
  await page.goto(origin + '/example/')
  await page.click('#buy')
  await page.waitForSelector('text=0 delivered, 0 pending')
  assert.deepEqual(await remains(page), { cookie: '', local: [], databases: [] })
  assert.equal(front.fates.length, 0)

  await page.click('#yes')
  await page.waitForSelector('text=1 delivered, 0 pending')
  await page.click('#buy')
  await page.waitForSelector('text=2 delivered')
  await page.click('#shelf')
  await page.waitForSelector('text=3 delivered')
  const id = (await cookie())!
  assert.match(id.value, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.equal(id.sameSite, 'Lax')
  assert.ok(id.expires > Date.now() / 1000 + 300 * 24 * 3600)
  await page.fill('#email', 'jane@example.com')
  await page.click('#login button')
  await page.waitForSelector('text=4 delivered')
  const jane = (await server.customer({ registered: 'jane@example.com' }))!
  assert.deepEqual(jane.ids, { registered: 'jane@example.com', cookie: [id.value] })
  assert.deepEqual(jane.properties, { plan: 'reader' })
  const seen = jane.events.map(({ type, properties: { location, total } }: any) => [type, location?.slice(origin.length) ?? total])
  assert.deepEqual(seen, [['page_visit', '/example/'], ['purchase', 7.99], ['page_visit', '/shelf']])

  await page.goto(origin + '/example/') // consent is remembered
  await page.click('#buy')
  await page.waitForSelector('text=2 delivered')
  /** Clicks, and waits for the report that follows, even if it is the same. */
  const reports = async (button: string, report: string) => {
    await page.evaluate(() => void (document.getElementById('report')!.textContent = ''))
    await page.click(button)
    await page.waitForSelector(`text=${report}`)
  }
  await reports('#no', '2 delivered')
  await until('nothing remains', () => page.evaluate(async () => !document.cookie && !localStorage.length && !(await indexedDB.databases()).length))
  const before = front.fates.length
  await reports('#buy', '2 delivered, 0 pending')
  assert.deepEqual(await remains(page), { cookie: '', local: [], databases: [] })
  assert.equal(front.fates.length, before)
})

test('libraries for tracing add fields to every call, and the browser lets it pass', async (t) => {
  const { server, open, cookie, options } = await scene(t)
  const page = await open()
  const statuses = await page.evaluate(async ({ url, project, key }) => {
    const plain = fetch
    globalThis.fetch = (input, init) => {
      const headers = new Headers(init?.headers)
      for (const name of ['traceparent', 'baggage', 'sentry-trace', 'x-datadog-trace-id', 'newrelic', 'x-requested-with']) headers.set(name, '1')
      return plain(input, { ...init, headers })
    }
    await client.track('traced')
    await client.close(120_000)
    const headers = { Authorization: `Token ${key}` }
    const others = ['/api/servers', `/data/v2/projects/${project}/consent/categories`, `/track/v2/projects/${project}/system/time`]
    return Promise.all(others.map(async (path) => (await fetch(url + path, { headers })).status))
  }, options)
  assert.deepEqual(statuses, [200, 200, 200])
  assert.deepEqual((await server.events({ cookie: (await cookie())!.value })).map(({ type }) => type), ['traced'])
})

test('every event is stored exactly once, whatever the network does', async (t) => {
  const { server, front, open, cookie } = await scene(t, (nth) => chaos[nth % chaos.length]!)
  const page = await open({ flushInterval: 20, batchSize: 8 })
  const report = await page.evaluate(async () => {
    for (let n = 0; n < 100; n++) if (!(await client.track('step', { n }))) throw new Error(`${n} was not accepted`)
    return client.close(120_000)
  })
  assert.deepEqual(report, { delivered: 100, rejected: 0, pending: 0, kept: true })
  assert.deepEqual(numbers(await server.events({ cookie: (await cookie())!.value })), upTo(100))
  for (const fate of ['lost', 'cut', 'reset', 500, 429] as Fate[]) assert.ok(front.fates.includes(fate), `no ${fate}`)
})

test('a tab that is closed in the middle has what it accepted sent by the next page', async (t) => {
  const { server, open, cookie, context } = await scene(t, (nth) => (['lost', 'pass', 503] as const)[nth % 3]!)
  let last = -1
  await context.exposeFunction('accepted', (n: number) => (last = n))
  for (const first of [0, 1e6]) {
    const page = await open({ flushInterval: 30 })
    const closed = new Promise((done) => page.on('close', done))
    void page
      .evaluate(async (first) => {
        // One at a time: many pending calls would outlive the page.
        for (let n = first; ; n++) if (await client.track('step', { n })) await accepted(n)
      }, first)
      .catch(() => {}) // the page's end ends it
    while (last < first + 100) await new Promise((next) => setTimeout(next, 5))
    await page.close()
    await closed
    const page2 = await open()
    await until('all is delivered', () => page2.evaluate(() => client.flush(120_000).then(({ pending }) => pending === 0)))
    await page2.close()
    const stored = numbers(await server.events({ cookie: (await cookie())!.value })).filter((n) => n >= first)
    // Events whose acceptance was not reported any more may be there too.
    assert.deepEqual(stored.slice(0, last - first + 1), Array.from({ length: last - first + 1 }, (_, i) => first + i))
    assert.equal(new Set(stored).size, stored.length)
  }
})

for (const way of ['keepalive', 'sendBeacon']) {
  test(`a page that is left at once sends what waits, in several requests if need be (${way})`, async (t) => {
    const { server, front, context, open, cookie } = await scene(t)
    if (way === 'sendBeacon') await context.addInitScript(() => delete (Request.prototype as any).keepalive)
    const page = await open({ flushInterval: 1e6, batchSize: 50 })
    // More than fits into one request of a page that is left, and less than
    // fits into all of them. There is no full batch, so none of it is sent
    // before.
    await page.evaluate(async () => {
      await client.flush(120_000)
      for (let n = 0; n < 40; n++) void client.track('step', { n, text: 'x'.repeat(1370) })
    })
    const { value } = (await cookie())!
    await page.goto('about:blank')
    const arrived = async () => numbers((await server.events({ cookie: value })).filter((e) => e.type === 'step'))
    await until('all have arrived', async () => (await arrived()).length >= 40)
    assert.deepEqual(await arrived(), upTo(40))
    assert.ok(front.fates.length >= 2)
    // The next page cannot know, and sends them again. They are stored once.
    const next = await open()
    await until('all is delivered', () => next.evaluate(() => client.flush(120_000).then(({ pending }) => pending === 0)))
    assert.deepEqual(await arrived(), upTo(40))
    assert.ok(front.statuses.every((status) => status === 200 || status === 204))
  })
}

test('a result that cannot be read: the command alone is sent again, and not at once', async (t) => {
  let answers = 0
  const { server, open, cookie, front } = await scene(t, () => (answers++ < 2 ? 'mute' : 'pass'))
  const page = await open({ flushInterval: 10 })
  await page.evaluate(() => client.track('step', { n: 0 }))
  const report = await page.evaluate(() => client.flush(120_000))
  assert.deepEqual([report.delivered, report.rejected, report.pending], [1, 0, 0])
  assert.deepEqual(front.fates, ['mute', 'mute', 'pass'])
  assert.deepEqual(numbers(await server.events({ cookie: (await cookie())!.value })), [0])
})

test('several tabs share the queue and do no work twice', async (t) => {
  const { server, open, cookie } = await scene(t)
  const pages = await Promise.all(upTo(3).map(() => open({ flushInterval: 30 })))
  await Promise.all(
    pages.map((page, p) =>
      page.evaluate(async (p) => {
        for (let n = 0; n < 50; n++) await client.track('step', { n: p * 50 + n })
        await client.flush(120_000)
      }, p),
    ),
  )
  // Only now does nobody add commands any more that a report would count.
  const reports = await Promise.all(pages.map((page) => page.evaluate(() => client.flush(120_000))))
  assert.deepEqual(reports.map((r) => [r.pending, r.rejected]), pages.map(() => [0, 0]))
  assert.deepEqual(numbers(await server.events({ cookie: (await cookie())!.value })), upTo(150))
  const { processed, duplicate } = await server.usage()
  assert.deepEqual({ processed, duplicate }, { processed: 150, duplicate: 0 })
})

test('a cookie that names nobody is replaced, and no name beside a good one harms nothing', async (t) => {
  const { server, origin, open, cookie, context } = await scene(t)
  await context.addCookies([{ name: 'trackway_id', value: 'undefined', url: origin }])
  const page = await open()
  const id = await page.evaluate(() => client.id)
  assert.match(id ?? '', /^[0-9a-f-]{36}$/)
  assert.equal((await cookie())?.value, id)
  const report = await page.evaluate(async () => {
    await client.track('seen', { n: 0 }, { ids: { registered: '' } })
    await client.track('seen', { n: 1 }, { ids: { registered: undefined as unknown as string } })
    await client.identify('null')
    return client.flush(120_000)
  })
  assert.deepEqual([report.delivered, report.rejected], [3, 0])
  const visitor = await server.customer({ cookie: id! })
  assert.deepEqual([visitor?.ids, numbers(visitor!.events)], [{ cookie: [id] }, [0, 1]])
})

test('without IndexedDB the queue is in localStorage, without that in memory', async (t) => {
  const { server, context, open, cookie } = await scene(t, () => (up ? 'pass' : 503))
  let up = false
  await context.addInitScript(() => Object.defineProperty(globalThis, 'indexedDB', { get: () => undefined }))
  const page = await open({ flushInterval: 10 })
  assert.equal(await page.evaluate(() => client.track('step', { n: 0 })), true)
  const { kept, pending } = await page.evaluate(() => client.report)
  assert.deepEqual({ kept, pending }, { kept: true, pending: 1 })
  await page.close()
  up = true
  const next = await open()
  assert.deepEqual(await next.evaluate(() => client.flush(120_000)), { delivered: 1, rejected: 0, pending: 0, kept: true })
  assert.deepEqual(numbers(await server.events({ cookie: (await cookie())!.value })), [0])

  await context.addInitScript(() => Object.defineProperty(globalThis, 'localStorage', { get: () => undefined }))
  const last = await open()
  assert.equal(await last.evaluate(() => client.track('step', { n: 1 })), true)
  assert.deepEqual(await last.evaluate(() => client.close(120_000)), { delivered: 1, rejected: 0, pending: 0, kept: false })
  assert.deepEqual(numbers(await server.events({ cookie: (await cookie())!.value })), [0, 1])
})

test('a database that breaks later gives way to memory, and is removed all the same', async (t) => {
  const { server, open, cookie } = await scene(t)
  for (const broken of ['put', 'getAll', 'count']) {
    const page = await open({ flushInterval: 10, consent: 'required' })
    const report = await page.evaluate(async (broken) => {
      await client.consent(true)
      await client.track('step', { n: broken + 0 })
      await client.flush(120_000)
      const fail = () => {
        throw new Error('broken')
      }
      Object.assign(IDBObjectStore.prototype, { [broken]: fail })
      await client.track('step', { n: broken + 1 })
      return client.flush(120_000)
    }, broken)
    assert.deepEqual(report, { delivered: 2, rejected: 0, pending: 0, kept: false }, broken)
    const events = await server.events({ cookie: (await cookie())!.value })
    assert.deepEqual(events.map((e) => e.properties.n), [broken + 0, broken + 1])
    await page.evaluate(() => client.consent(false))
    assert.deepEqual(await remains(page), { cookie: '', local: [], databases: [] })
    await page.close()
  }
})

test('a browser that does not want to be tracked is left alone where that is honoured', async (t) => {
  const { front, context, open, origin } = await scene(t)
  await context.addInitScript(() => Object.defineProperty(navigator, 'globalPrivacyControl', { value: true }))
  const page = await open({ doNotTrack: true, pageViews: true })
  assert.equal(await page.evaluate(() => client.track('step')), false)
  assert.equal(await page.evaluate(() => client.consent(true).then(() => client.track('step'))), false)
  assert.deepEqual(await remains(page), { cookie: '', local: [], databases: [] })
  assert.equal(front.fates.length, 0)
  assert.ok(origin)
  const other = await open() // does not send "do not track"
  assert.equal(await other.evaluate(() => client.track('step')), true)
})

test('consent stores nothing if a page does not ask for it', async (t) => {
  const { context, open } = await scene(t)
  await context.addInitScript(() => Object.defineProperty(navigator, 'globalPrivacyControl', { value: true }))
  const page = await open({ doNotTrack: true, consent: 'required' })
  assert.equal(await page.evaluate(() => client.consent(true).then(() => client.track('step'))), false)
  assert.deepEqual(await remains(page), { cookie: '', local: [], databases: [] })
})

test('a page that may store nothing at all, as in a sandbox, is still one visitor', async (t) => {
  const { server, context, origin, options } = await scene(t)
  for (const consent of [undefined, 'required']) {
    const page = await context.newPage()
    await page.goto(origin + '/sandbox')
    await page.waitForFunction(() => !!globalThis.createClient)
    const [id, report, later] = await page.evaluate(async (options) => {
      const client = createClient(options as any)
      await client.consent(true)
      for (let n = 0; n < 3; n++) await client.track('step', { n })
      const report = await client.flush(120_000)
      const { id } = client
      await client.consent(false)
      return [id, report, client.id]
    }, consent ? { ...options, consent } : options)
    assert.deepEqual(report, { delivered: 3, rejected: 0, pending: 0, kept: false })
    assert.match(id!, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    assert.deepEqual(numbers(await server.events({ cookie: id })), upTo(3))
    assert.equal(later, undefined)
  }
})

test('consent that is withdrawn and given again at once holds', async (t) => {
  const { server, open, cookie } = await scene(t)
  const page = await open({ consent: 'required' })
  const report = await page.evaluate(async () => {
    await client.consent(true)
    await client.track('step', { n: 0 })
    const [, , taken] = await Promise.all([client.consent(false), client.consent(true), client.track('step', { n: 1 })])
    const again = client.consent(true).then(() => client.track('step', { n: 2 }))
    return { taken, again: await again, ...(await client.flush(120_000)) }
  })
  assert.equal(report.again, true)
  assert.equal(report.delivered, report.taken ? 2 : 1)
  assert.deepEqual(numbers(await server.events({ cookie: (await cookie())!.value })), report.taken ? [1, 2] : [2])
})

test('consent that is withdrawn in one tab holds in the others', async (t) => {
  const { open } = await scene(t)
  const [one, two] = [await open({ consent: 'required' }), await open({ consent: 'required', flushInterval: 1e6 })]
  await one.evaluate(() => client.consent(true))
  assert.equal(await two.evaluate(() => client.track('step')), true)
  await one.evaluate(() => client.consent(false))
  assert.equal(await two.evaluate(() => client.track('step')), false)
  assert.deepEqual(await remains(two), { cookie: '', local: [], databases: [] })
})

test('after a reset the browser is somebody else', async (t) => {
  const { server, open } = await scene(t)
  const page = await open()
  const [before, afterwards] = await page.evaluate(async () => {
    await client.identify('jane')
    const id = client.id
    client.reset()
    await client.track('step', { n: 0 })
    await client.flush(120_000)
    return [id!, client.id!]
  })
  assert.notEqual(before, afterwards)
  assert.deepEqual((await server.customer({ registered: 'jane' }))?.ids, { registered: 'jane', cookie: [before] })
  assert.deepEqual(numbers(await server.events({ cookie: afterwards })), [0])
})

test('the servers are read from one address, and the choice outlives the page', async (t) => {
  const { server, front, context, open, cookie } = await scene(t)
  const page = await open({ url: undefined, servers: front.url })
  await page.evaluate(() => client.track('step', { n: 0 }).then(() => client.flush(120_000)))
  assert.equal(await page.evaluate(() => client.server), server.url, 'the address that the server lists for itself')
  assert.deepEqual(numbers(await server.events({ cookie: (await cookie())!.value })), [0])
  for (const draw of ['0', '0.99']) {
    await context.addInitScript(`Math.random = () => ${draw}`) // the last one applies
    const page = await open({ url: undefined, servers: [front.url, server.url] })
    await page.evaluate(() => client.track('step').then(() => client.flush(120_000)))
    assert.equal(await page.evaluate(() => client.server), front.url, 'the first is drawn, and then kept')
  }
})
