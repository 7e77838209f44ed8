// Sends events with five SDKs at once, all about the same customer.
import { jitsuAnalytics } from '@jitsu/js'
import { RudderAnalytics } from '@rudderstack/analytics-js/bundled'
import { AnalyticsBrowser } from '@segment/analytics-next'
import { createClient } from '@trackway/sdk'
import posthog from 'posthog-js'
import { count, key, project, server } from './page.mjs'

const segment = AnalyticsBrowser.load({ writeKey: key, cdnURL: server })
const rudder = new RudderAnalytics()
rudder.load(key, server, { getSourceConfig: () => ({ source: { id: 'trackway', config: {}, destinations: [] } }) })
const jitsu = jitsuAnalytics({ host: server, writeKey: key + ':any' })
posthog.init(key, {
  api_host: server,
  opt_out_useragent_filter: true, // or it takes this browser for a robot
})
const trackway = createClient({ url: server, project, key, pageViews: true })

const who = 'jane@example.com'
for (const sdk of [segment, rudder, jitsu]) {
  sdk.identify(who)
  sdk.page()
}
posthog.identify(who)
trackway.identify(who)
for (let n = 0; n < count; n++) {
  segment.track(`segment ${n}`)
  rudder.track(`rudder ${n}`)
  jitsu.track(`jitsu ${n}`)
  posthog.capture(`posthog ${n}`)
  trackway.track(`trackway ${n}`)
}
