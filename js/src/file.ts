import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { lock, text } from './lock.ts'
import type { Entry, Store } from './store.ts'

/**
 * A file is rewritten when it has this many more obsolete lines than valid
 * ones.
 */
const slack = 10_000

/** Keeps the queue in memory. */
export class MemoryStore implements Store {
  kept = false
  protected readonly entries = new Map<string, string>()

  async add(entries: readonly Entry[]): Promise<void> {
    for (const { id, body } of entries) this.entries.set(id, body)
  }

  async take(n: number): Promise<Entry[]> {
    const first: Entry[] = []
    for (const [id, body] of this.entries) {
      if (first.length === n) break
      first.push({ id, body })
    }
    return first
  }

  async remove(ids: readonly string[]): Promise<void> {
    for (const id of ids) this.entries.delete(id)
  }

  async size(): Promise<number> {
    return this.entries.size
  }

  async wipe(): Promise<void> {
    this.entries.clear()
  }

  async close(): Promise<void> {}
}

/**
 * Keeps the queue in a file to which lines are appended: `<sum> <id> <command>`
 * adds an entry, `<sum> -<id> <id>…` removes some. Entries that come during a
 * write go out together with the next write. An incomplete last line is not
 * read. Other lines that do not match their checksums are reported; their
 * content is lost. Only one process at a time may use a file. If the file
 * cannot be written, for example because the disk is full, the queue is in
 * memory until it is empty. Then the file, which may itself be what fills the
 * disk, is created again.
 */
export class FileStore extends MemoryStore {
  override kept = true
  /** Obsolete lines in the file. */
  #waste = 0
  #file: FileHandle | undefined
  #lines = ''
  #writing: Promise<void> | undefined
  /** The file that keeps other processes out. */
  readonly #lock: string

  /**
   * Opens the file, and creates it and its folder if they are missing. With
   * sync, entries also survive a power cut. Calls back when the queue is no
   * longer kept, with the reason, and when it is kept again.
   */
  constructor(
    private readonly path: string,
    private readonly sync: boolean,
    private readonly tell: (kept: boolean, error?: unknown) => void,
  ) {
    super()
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    this.#lock = lock(path + '.lock')
    let damaged: number
    try {
      damaged = read(path, this.entries)
    } catch (error) {
      rmSync(this.#lock, { force: true })
      throw error
    }
    this.#try(() => this.#rewrite())
    if (damaged) this.tell(this.kept, new Error(`The file of the queue is damaged: ${path}. Lines that were lost: ${damaged}.`))
  }

  override async add(entries: readonly Entry[]): Promise<void> {
    await super.add(entries)
    for (const { id, body } of entries) this.#lines += summed(`${id} ${body}`)
    await this.#written()
  }

  /**
   * Removes entries. If a crash loses the removal, they are sent again, and the
   * server notices.
   */
  override async remove(ids: readonly string[]): Promise<void> {
    const there = ids.filter((id) => this.entries.delete(id))
    if (!there.length) return
    this.#lines += summed(`-${there.join(' ')}`)
    this.#waste += there.length + 1
    await this.#written()
  }

  override async wipe(): Promise<void> {
    await super.wipe()
    await this.close()
    rmSync(this.path, { force: true })
  }

  override async close(): Promise<void> {
    await this.#written()
    if (!this.kept) this.#try(() => this.#rewrite()) // there may be room again
    await this.#file?.close()
    this.#file = undefined
    rmSync(this.#lock, { force: true })
  }

  /** Resolves once all lines so far are in the file. */
  async #written(): Promise<void> {
    // A write that is under way may have begun without our lines. Then the next
    // one has them.
    while (this.#lines) {
      this.#writing ??= this.#write().finally(() => (this.#writing = undefined))
      await this.#writing
    }
    await this.#writing
  }

  async #write(): Promise<void> {
    const lines = this.#lines
    this.#lines = ''
    if (!this.kept && this.entries.size) return
    if (!this.kept || this.#waste > this.entries.size + slack) {
      await this.#file?.close()
      this.#file = undefined
      this.#try(() => this.#rewrite())
      return
    }
    try {
      this.#file ??= await open(this.path, 'a', 0o600)
      // The first line break ends a line that an earlier write may have left
      // incomplete.
      await this.#file.appendFile('\n' + lines)
      if (this.sync) await this.#file.datasync()
    } catch (error) {
      this.#keep(false, error)
    }
  }

  /** Does something that makes the file correct again. */
  #try(how: () => void): void {
    try {
      how()
      this.#keep(true)
    } catch (error) {
      this.#keep(false, error)
    }
  }

  /**
   * Notes whether the file holds the queue, and calls back if that has changed.
   */
  #keep(kept: boolean, error?: unknown): void {
    if (kept === this.kept) return
    this.kept = kept
    this.tell(kept, error)
  }

  /**
   * Rewrites the file with the valid entries. The old one stays until the new
   * one is complete.
   */
  #rewrite(): void {
    const fresh = this.path + '.new'
    try {
      const file = openSync(fresh, 'w', 0o600)
      try {
        for (const [id, body] of this.entries) writeSync(file, summed(`${id} ${body}`))
        fsyncSync(file)
      } finally {
        closeSync(file)
      }
      renameSync(fresh, this.path)
    } catch (error) {
      rmSync(fresh, { force: true }) // it may be what fills the disk
      throw error
    }
    this.#waste = 0
  }
}

/** Reads a file into entries, and returns how many of its lines are damaged. */
function read(path: string, entries: Map<string, string>): number {
  const lines = text(path).split('\n')
  const rest = lines.pop()! // what a crash has left incomplete, or nothing
  let damaged = rest.slice(0, -1) + '\n' === summed(rest.slice(9, -1)) ? 1 : 0 // a complete line whose line break is damaged
  for (const line of lines) {
    const said = line.slice(9)
    const [, id, body] = /^([0-9a-z]+) (\{.*\})$/.exec(said) ?? []
    if (!line) continue // an append begins with a line break
    if (line + '\n' !== summed(said)) damaged++
    else if (said.startsWith('-')) for (const gone of said.slice(1).split(' ')) entries.delete(gone)
    else if (id && body) entries.set(id, body)
  }
  return damaged
}

/**
 * Returns a line that begins with its checksum: the CRC-32 of its bytes in
 * UTF-8, in eight hexadecimal digits.
 */
const summed = (said: string) => `${crc32(Buffer.from(said)).toString(16).padStart(8, '0')} ${said}\n`

/**
 * The CRC-32 of each byte. The first releases of Node 20 lack the one of
 * node:zlib.
 */
const table = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1
  return n
})

function crc32(bytes: Uint8Array): number {
  let sum = ~0
  for (const byte of bytes) sum = table[(sum ^ byte) & 0xff]! ^ (sum >>> 8)
  return ~sum >>> 0
}
