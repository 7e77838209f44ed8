import { randomUUID } from 'node:crypto'
import { linkSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'

/**
 * Takes the lock and returns its file. Throws if another living process has the
 * lock. The file of a lock names its process. The file appears together with
 * that name, because an empty file would look like that of a process that has
 * ended. The name of the file ends in a number, one more than that of the
 * previous lock. A client that finds the lock of a dead process takes the next
 * number, and never removes a file to take its place. So it cannot remove the
 * lock of another process that came at the same time, and only one of them can
 * take the next number. Afterwards, each client looks again. If it finds
 * another lock (of a process that took a number when there was no lock), it
 * releases its own. So two clients never have the lock.
 */
export function lock(path: string): string {
  const own = `${path}.${randomUUID()}`
  writeFileSync(own, `${process.pid} ${birth(process.pid)}`, { mode: 0o600 })
  try {
    for (;;) {
      const before = locks(path)
      if (before.some((n) => held(`${path}.${n}`))) break
      const number = Math.max(0, ...before) + 1
      const mine = `${path}.${number}`
      if (!linked(own, mine)) continue
      const others = locks(path).filter((n) => n !== number)
      if (others.some((n) => held(`${path}.${n}`))) {
        rmSync(mine, { force: true })
        break
      }
      for (const n of others) rmSync(`${path}.${n}`, { force: true }) // their processes ended without removing them
      return mine
    }
  } finally {
    rmSync(own, { force: true })
  }
  throw new Error(`The queue is in use by another client: ${path}`)
}

/** The numbers of the existing locks. */
const locks = (path: string) =>
  readdirSync(dirname(path))
    .filter((name) => name.startsWith(basename(path) + '.'))
    .map((name) => Number(name.slice(basename(path).length + 1)))
    .filter((n) => n > 0)

/** Gives a file a second name. Returns false if that name is taken. */
function linked(file: string, name: string): boolean {
  try {
    linkSync(file, name)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Whether the process that a lock names is alive. */
function held(path: string): boolean {
  const [pid, born] = text(path).split(' ')
  return alive(Number(pid)) && birth(Number(pid)) === born
}

function alive(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/**
 * When a process was started, if the system says so (proc(5), the 22nd field of
 * stat). Numbers of processes are reused.
 */
function birth(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

/** Returns the content of a file, or an empty text if it does not exist. */
export function text(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
