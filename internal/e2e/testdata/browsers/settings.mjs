// Has @segment/analytics-next ask a host that has no settings for it, and then
// gives it the settings.
import { AnalyticsBrowser } from '@segment/analytics-next'
import { key, say, server } from './page.mjs'

const asking = AnalyticsBrowser.load({ writeKey: key, cdnURL: location.origin })
asking.track('lost')
asking.catch(() => say('no settings'))

const { host } = new URL(server)
const cdnSettings = { integrations: { 'Segment.io': { apiKey: key, apiHost: host + '/v1', protocol: 'http' } } }
const given = AnalyticsBrowser.load({ writeKey: key, cdnSettings })
given.track('kept')
