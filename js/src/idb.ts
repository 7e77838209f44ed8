import type { Entry, Store } from './store.ts'

/** Resolves with the result of a request. */
const result = <T>(request: IDBRequest<T>) =>
  new Promise<T>((done, failed) => {
    request.onsuccess = () => done(request.result)
    request.onerror = () => failed(request.error)
  })

const table = 'queue'

/** Keeps the queue in IndexedDB, where all pages of the site share it. */
export class IndexedStore implements Store {
  readonly kept = true
  #db: IDBDatabase | undefined

  private constructor(private readonly name: string) {}

  /** Opens the store. Rejects where there is no IndexedDB, or none that lasts. */
  static async open(name: string): Promise<IndexedStore> {
    const store = new IndexedStore(name)
    await store.#open()
    return store
  }

  async #open(): Promise<IDBDatabase> {
    if (this.#db) return this.#db
    const request = indexedDB.open(this.name, 1)
    request.onupgradeneeded = () => request.result.createObjectStore(table, { keyPath: 'id' })
    const db = await result(request)
    // Another page removes it, or the browser does: it is made anew when it is needed next.
    db.onversionchange = () => this.close()
    db.onclose = () => (this.#db = undefined)
    return (this.#db = db)
  }

  /** Does something in one transaction. Resolves once that is committed. */
  async #do<T>(mode: IDBTransactionMode, act: (queue: IDBObjectStore) => IDBRequest<T> | undefined): Promise<T> {
    const transaction = (await this.#open()).transaction(table, mode)
    const request = act(transaction.objectStore(table))
    // Without waiting for what follows from the requests: the page may be about to close.
    transaction.commit?.()
    return new Promise<T>((done, failed) => {
      transaction.oncomplete = () => done(request?.result as T)
      transaction.onabort = transaction.onerror = () => failed(transaction.error ?? new Error('IndexedDB: the transaction was aborted'))
    })
  }

  add(entries: readonly Entry[]): Promise<void> {
    return this.#do('readwrite', (queue) => void entries.forEach((entry) => queue.put(entry)) as undefined)
  }

  take(n: number): Promise<Entry[]> {
    return this.#do<Entry[]>('readonly', (queue) => queue.getAll(null, n))
  }

  remove(ids: readonly string[]): Promise<void> {
    return this.#do('readwrite', (queue) => void ids.forEach((id) => queue.delete(id)) as undefined)
  }

  size(): Promise<number> {
    return this.#do<number>('readonly', (queue) => queue.count())
  }

  async wipe(): Promise<void> {
    await this.close()
    await result(indexedDB.deleteDatabase(this.name))
  }

  async close(): Promise<void> {
    this.#db?.close()
    this.#db = undefined
  }
}
