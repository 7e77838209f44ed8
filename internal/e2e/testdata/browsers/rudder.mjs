// Sends messages with @rudderstack/analytics-js. If the mode says
// "batches", it collects them; otherwise each is a call of its own.
import { RudderAnalytics } from '@rudderstack/analytics-js/bundled'
import { bad, count, key, leave, mode, server } from './page.mjs'

const analytics = new RudderAnalytics()
analytics.load(key, server, {
  getSourceConfig: () => ({ source: { id: 'trackway', config: {}, destinations: [] } }),
  queueOptions: mode.includes('batches') ? { batch: { enabled: true, maxItems: 5, flushInterval: 200 } } : {},
})
if (mode.includes('next')) {
  analytics.track('next page')
} else {
  analytics.setAnonymousId('a-1')
  analytics.identify('jane@example.com', { plan: 'pro' })
  for (let n = 0; n < count; n++) {
    analytics.track('step', { n })
    if (n === 4 && !mode.includes('leave')) analytics.track(bad)
  }
  if (mode.includes('leave')) leave()
}
