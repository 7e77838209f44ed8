// Measures, against a real server, how many events a second Node can send. Also
// measures the share of refusals in a steady run at ten times the limit, for
// this client and for one that simply repeats refused requests. `node
// test/bench.mjs URL PROJECT KEY [speed|limit]`
import { createClient } from '../dist/node.js'

const [url, project, key, what = 'speed'] = process.argv.slice(2)
const ids = { cookie: 'bench' }

if (what === 'speed') {
  for (const file of [undefined, `/tmp/trackway-bench-${process.pid}`]) {
    const client = createClient({ url, project, key, file, whenFull: 'block' })
    const start = performance.now()
    const n = 100_000
    const accepted = []
    for (let i = 0; i < n; i++) {
      accepted.push(client.track('purchase', { n: i, item: 'book', total: 7.99, currency: 'EUR', path: '/shop/books' }, { ids }))
      if (accepted.length === 1000) await Promise.all(accepted.splice(0))
    }
    const { delivered } = await client.close(600_000)
    const seconds = (performance.now() - start) / 1000
    console.log(`${file ? 'queue in a file' : 'queue in memory'}: ${delivered} events in ${seconds.toFixed(1)} s, ${Math.round(delivered / seconds)} a second`)
  }
} else {
  const seconds = 30
  const real = globalThis.fetch
  for (const naive of [false, true]) {
    let asked = 0
    let refused = 0
    globalThis.fetch = async (...call) => {
      const answer = await real(...call)
      asked++
      if (answer.status === 429) refused++
      return answer
    }
    const end = performance.now() + seconds * 1000
    if (naive) {
      while (performance.now() < end) {
        const answer = await fetch(`${url}/track/v2/projects/${project}/batch?access_token=${key}`, {
          method: 'POST',
          body: JSON.stringify({ commands: [{ name: 'customers/events', data: { customer_ids: ids, event_type: 'x' } }] }),
        })
        await answer.text()
        await new Promise((next) => setTimeout(next, 10))
      }
    } else {
      const client = createClient({ url, project, key, batchSize: 1, flushInterval: 0, whenFull: 'drop-oldest' })
      while (performance.now() < end) {
        void client.track('x', {}, { ids })
        await new Promise((next) => setTimeout(next, 10))
      }
      await client.close(0)
    }
    const share = ((100 * refused) / asked).toFixed(1)
    console.log(`${naive ? 'naive' : 'this client'}: ${asked} requests in ${seconds} s, ${asked - refused} accepted, ${refused} refused (${share} %)`)
  }
}
