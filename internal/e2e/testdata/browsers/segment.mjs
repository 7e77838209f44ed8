// Sends messages with @segment/analytics-next. If the mode says
// "batches", it collects them; otherwise each is a call of its own.
import { AnalyticsBrowser } from '@segment/analytics-next'
import { bad, count, key, leave, mode, say, server } from './page.mjs'

const batches = { 'Segment.io': { deliveryStrategy: { strategy: 'batching', config: { size: 5, timeout: 200 } } } }
const analytics = AnalyticsBrowser.load({ writeKey: key, cdnURL: server }, { integrations: mode.includes('batches') ? batches : {} })
analytics.on('error', ({ code, ctx }) => say(`${code}: ${ctx.event.event.slice(0, 10)}`))
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
