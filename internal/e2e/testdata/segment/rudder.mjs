// Sends messages with @rudderstack/rudder-sdk-node: node rudder.mjs SERVER KEY COUNT
import rudder from '@rudderstack/rudder-sdk-node'

const [dataPlaneUrl, key, count] = process.argv.slice(2)
const Client = rudder.default ?? rudder
// By default it ignores Retry-After and gives a batch up after three retries,
// which take less than two seconds.
const client = new Client(key, { dataPlaneUrl, flushAt: 2, retryCount: 10, errorHandler: () => {}, logLevel: 'none' })
const bad = 'x'.repeat(300)
let failed = 0
const sent = []
const done = (resolve) => (err) => {
  failed += err ? 1 : 0
  resolve()
}
sent.push(new Promise((resolve) => client.identify({ userId: 'jane@example.com', anonymousId: 'a-1', traits: { plan: 'pro' } }, done(resolve))))
for (let n = 0; n < count; n++) {
  sent.push(new Promise((resolve) => client.track({ userId: 'jane@example.com', event: 'step', properties: { n } }, done(resolve))))
  if (n === 4) sent.push(new Promise((resolve) => client.track({ userId: 'jane@example.com', event: bad }, done(resolve))))
}
const flushing = setInterval(() => client.flush(() => {}), 100)
await Promise.all(sent)
clearInterval(flushing)
console.log(`failed: ${failed}`)
process.exit(0)
