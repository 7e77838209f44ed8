// Sends messages with @segment/analytics-node: node segment.mjs SERVER KEY COUNT
import { Analytics } from '@segment/analytics-node'

const [host, writeKey, count] = process.argv.slice(2)
const analytics = new Analytics({ host, writeKey, flushAt: 2, httpRequestTimeout: 60000 })
const bad = 'x'.repeat(300)
let failed = 0
const sent = []
const track = (event, n) => sent.push(new Promise((resolve) => {
  analytics.track({ userId: 'jane@example.com', event, properties: { n } }, (err) => {
    failed += err ? 1 : 0
    resolve()
  })
}))
analytics.identify({ userId: 'jane@example.com', anonymousId: 'a-1', traits: { plan: 'pro' } })
for (let n = 0; n < count; n++) {
  track('step', n)
  if (n === 4) track(bad, n)
}
await analytics.closeAndFlush({ timeout: 100000 })
await Promise.all(sent)
console.log(`failed: ${failed}`)
