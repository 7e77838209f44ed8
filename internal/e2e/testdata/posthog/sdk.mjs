// Sends messages with PostHog's SDK for Node, each in a request of its own.
// Arguments: the server's address and a key. Prints what the SDK reports as
// lost. By default it gives up after three retries, and does not wait for an
// answer for longer than ten seconds, which a slow machine may need.
import { PostHog } from 'posthog-node'

const posthog = new PostHog(process.argv[3], { host: process.argv[2], flushAt: 1000, flushInterval: 0, fetchRetryDelay: 700, fetchRetryCount: 10, requestTimeout: 60000 })
const lost = []
posthog.on('error', (error) => lost.push(String(error)))
for (let n = 0; n < 8; n++) {
  posthog.capture({ distinctId: 'node-user', event: `load ${n}`, properties: { n } })
  await posthog.flush()
}
const at = new Date('2026-11-01T12:00:00Z')
posthog.capture({ distinctId: 'node-user', event: 'same', timestamp: at })
posthog.capture({ distinctId: 'node-user', event: 'same', timestamp: at })
posthog.capture({ distinctId: 'node-user', event: 'too late', timestamp: new Date('2300-01-01T00:00:00Z') }) // refused alone
posthog.identify({ distinctId: 'node-user', properties: { email: 'node@example.com', $set_once: { plan: 'first', email: 'no' } } })
posthog.identify({ distinctId: 'node-user', properties: { $set_once: { plan: 'second' } } })
posthog.alias({ distinctId: 'node-user', alias: 'node-device' })
posthog.groupIdentify({ groupType: 'company', groupKey: 'acme', properties: { seats: 3 }, distinctId: 'node-user' })
await posthog.flush()
const flag = (await posthog.isFeatureEnabled('flag', 'node-user', { sendFeatureFlagEvents: false })) ?? null
await posthog.shutdown()
console.log(JSON.stringify({ lost, flag }))
