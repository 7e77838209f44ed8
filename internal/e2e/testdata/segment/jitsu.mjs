// Sends messages with @jitsu/js: node jitsu.mjs SERVER KEY COUNT. Its keys need a
// secret, which this server ignores.
import { jitsuAnalytics } from '@jitsu/js'

const [host, key, count] = process.argv.slice(2)
let failed = 0
console.error = () => failed++
const jitsu = jitsuAnalytics({ host, writeKey: key + ':any', fetchTimeoutMs: 60000 })
await jitsu.setAnonymousId('a-1')
await jitsu.identify('jane@example.com', { plan: 'pro' })
for (let n = 0; n < count; n++) {
  await jitsu.track('step', { n })
}
const good = failed
await jitsu.track('x'.repeat(300))
// It does not say when it is done, but that the server has refused something.
for (let i = 0; failed === good && i < 600; i++) await new Promise((resolve) => setTimeout(resolve, 100))
console.log(`failed: ${good}`)
process.exit(0)
