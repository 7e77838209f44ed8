// Writes through one server of a cluster, and reads each write at another one,
// at once. Prints the number of each round that was read.
const { createClient } = await import(process.argv[2])
const { id: keyId, secret, project, writers, readers, rounds } = JSON.parse(process.argv[3])
const ids = { registered: 'person-js' }
const writer = createClient({ servers: writers, project, keyId, secret })
const reader = createClient({ servers: readers, project, keyId, secret })
for (let n = 1; n <= rounds; n++) {
  await writer.update({ n }, { ids })
  const { pending, rejected } = await writer.flush(60_000)
  if (pending || rejected) throw new Error(`round ${n}: ${pending} pending, ${rejected} rejected`)
  reader.after(writer.position)
  const question = { customer_ids: ids, attributes: [{ type: 'property', property: 'n' }] }
  const { results } = await reader.read('customers/attributes', question, 60_000)
  if (results[0].value !== n) {
    throw new Error(`round ${n}: read ${results[0].value} at ${reader.server}, written at ${writer.server}, position ${writer.position}`)
  }
  console.log(n)
}
await writer.close()
await reader.close()
