import { randomUUID } from 'node:crypto'
import { linkSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'

/**
 * Takes the lock and returns its file, or throws if that of another process is there which is alive. A lock's file names its process,
 * and is there with the name in it or not at all: an empty one would be taken for that of a process which has ended. Its own name ends
 * in a number, one more than the last's, so that whoever finds the lock of a dead process never removes, to take its place, what
 * another one that came at the same time has put there: only one can make the next number. Who looks again, and finds somebody else all
 * the same (who took a number when there was none), lets go, so that two never have it.
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
      for (const n of others) rmSync(`${path}.${n}`, { force: true }) // their processes have ended without removing them
      return mine
    }
  } finally {
    rmSync(own, { force: true })
  }
  throw new Error(`The queue is in use by another client: ${path}`)
}

/** The numbers of the locks that there are. */
const locks = (path: string) =>
  readdirSync(dirname(path))
    .filter((name) => name.startsWith(basename(path) + '.'))
    .map((name) => Number(name.slice(basename(path).length + 1)))
    .filter((n) => n > 0)

/** Gives a file a second name, or returns false if there is one of that name. */
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

/** When a process was started, as far as it can be told (proc(5), the 22nd field of stat): numbers of processes are used again. */
function birth(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

/** Returns what is in a file, nothing if it is not there. */
export function text(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
