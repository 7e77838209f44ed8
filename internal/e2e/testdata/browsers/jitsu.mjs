// Sends messages with @jitsu/js, each in a call of its own. Its keys need a
// secret, which this server ignores.
import { jitsuAnalytics } from '@jitsu/js'
import { bad, count, key, server } from './page.mjs'

const jitsu = jitsuAnalytics({ host: server, writeKey: key + ':any' })
jitsu.setAnonymousId('a-1')
jitsu.identify('jane@example.com', { plan: 'pro' })
for (let n = 0; n < count; n++) {
  jitsu.track('step', { n })
  if (n === 4) jitsu.track(bad)
}
