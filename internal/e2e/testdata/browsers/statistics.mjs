// Gives @segment/analytics-next the time to send its statistics. It does so
// every 30 s; here, these pass at once.
import { AnalyticsBrowser } from '@segment/analytics-next'
import { key, say, server } from './page.mjs'

const later = globalThis.setTimeout
globalThis.setTimeout = (f, ms, ...more) => later(f, ms === 30_000 ? 50 : ms, ...more)
const analytics = AnalyticsBrowser.load({ writeKey: key, cdnURL: server })
await analytics.track('sent')
later(() => say('done'), 1000)
