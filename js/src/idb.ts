import type { Entry, Store } from './store.ts'

/** Resolves with the result of a request. */
const result = <T>(request: IDBRequest<T>) =>
  new Promise<T>((done, failed) => {
    request.onsuccess = () => done(request.result)
    request.onerror = () => failed(request.error)
  })

const table = 'queue'

/**
 * Returns a store in IndexedDB, which all pages of the site share. Rejects if
 * IndexedDB is not available.
 */
export async function newIndexedStore(name: string): Promise<Store> {
  let db: IDBDatabase | undefined

  const open = async () => {
    if (db) return db
    const request = indexedDB.open(name, 1)
    request.onupgradeneeded = () => request.result.createObjectStore(table, { keyPath: 'id' })
    db = await result(request)
    // Another page or the browser has removed it. It is created again when it
    // is needed.
    db.onversionchange = db.onclose = store.close
    return db
  }

  /**
   * Does something in a transaction. Resolves once the transaction is
   * committed.
   */
  const act = async <T = void>(mode: IDBTransactionMode, how: (queue: IDBObjectStore) => IDBRequest<T> | void): Promise<T> => {
    const transaction = (await open()).transaction(table, mode)
    const request = how(transaction.objectStore(table))
    // Commits without waiting for the results of the requests: the page may be
    // about to close.
    transaction.commit?.()
    return new Promise<T>((done, failed) => {
      transaction.oncomplete = () => done(request?.result as T)
      transaction.onabort = () => failed(transaction.error)
    })
  }

  const store: Store = {
    kept: true,
    add: (entries) => act('readwrite', (queue) => entries.forEach((entry) => queue.put(entry))),
    take: (n) => act<Entry[]>('readonly', (queue) => queue.getAll(null, n)),
    remove: (ids) => act('readwrite', (queue) => ids.forEach((id) => queue.delete(id))),
    size: () => act<number>('readonly', (queue) => queue.count()),
    async wipe() {
      await store.close()
      await result(indexedDB.deleteDatabase(name))
    },
    async close() {
      db?.close()
      db = undefined
    },
  }
  await open()
  return store
}
