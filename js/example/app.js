import { createClient } from './sdk.js' // in your own page: from '@trackway/sdk'

const { url, project, key } = document.body.dataset
const client = createClient({ url, project, key, consent: 'required', pageViews: true })

const on = (id, event, act) =>
  document.getElementById(id).addEventListener(event, async (what) => {
    what.preventDefault()
    await act()
    const { delivered, pending } = await client.flush()
    document.getElementById('report').textContent = `${delivered} delivered, ${pending} pending`
  })

on('yes', 'click', async () => {
  await client.consent(true)
  await client.page()
})
on('no', 'click', () => client.consent(false))
on('buy', 'click', () => client.track('purchase', { item: 'book', total: 7.99 }))
on('shelf', 'click', () => history.pushState(null, '', '/shelf'))
on('login', 'submit', () => client.identify(document.getElementById('email').value, { plan: 'reader' }))
