// What the pages have in common. The query names the server, a public key, and
// how many messages to send.

const query = new URLSearchParams(location.search)
export const server = query.get('server')
export const key = query.get('key')
export const count = Number(query.get('count'))
export const project = query.get('project')
export const mode = query.get('mode')

/** A type of event that the server refuses. */
export const bad = 'x'.repeat(300)

/** Tells the test something. */
export const say = (text) => fetch('/said', { method: 'POST', body: text })

/** Goes on to the next page when the test says so. */
export async function leave() {
  await fetch('/leave')
  query.set('mode', mode.replace('leave', 'next'))
  location.search = query
}
