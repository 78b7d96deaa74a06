import { execFile } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { promisify } from 'node:util'
import { codeOf } from './error.js'

const procfs = process.platform === 'linux'

/**
 * True for a process that runs; a zombie does not. (Without a reaping PID 1, as in many containers, it stays
 * for ever.)
 */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
  if (!procfs) return true
  const state = (await statFields(pid))?.[0]
  return state !== undefined && state !== 'Z' && state !== 'X'
}

/** Tells two processes with the same recycled pid apart. Undefined where the platform has no cheap answer. */
export async function startTime(pid: number): Promise<string | undefined> {
  return procfs ? (await statFields(pid))?.[19] : undefined
}

/**
 * Whether `pid` is a postgres that runs on this data directory. A postmaster's working directory is its data
 * directory, compared by inode, so that a symbolic link or a renamed parent does not hide it.
 */
export async function isPostgresOf(pid: number, dataDirectory: string): Promise<boolean> {
  if (!(await isAlive(pid))) return false
  if (process.platform === 'win32') return true
  if (!procfs) {
    const text = await psCommand(pid)
    return text.includes('postgres') && text.includes(dataDirectory)
  }
  const command = await commandLine(pid)
  if (!basename(command[0] ?? '').startsWith('postgres')) return false
  try {
    const [cwd, data] = await Promise.all([stat(`/proc/${pid}/cwd`), stat(dataDirectory)])
    return cwd.dev === data.dev && cwd.ino === data.ino
  } catch {
    // Root without CAP_SYS_PTRACE (a container's default) may not follow the link of another uid's process,
    // and a data directory that was deleted under its postmaster has no inode to compare.
    return command.includes(dataDirectory)
  }
}

/** /proc/<pid>/stat from its third field on: the second, the name, may hold spaces and parentheses. */
async function statFields(pid: number): Promise<string[] | undefined> {
  const text = await readProc(`/proc/${pid}/stat`)
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')
}

async function commandLine(pid: number): Promise<string[]> {
  return (await readProc(`/proc/${pid}/cmdline`))?.split('\0') ?? []
}

async function readProc(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const code = codeOf(error)
    // ESRCH: it ended between open and read.
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
}

async function psCommand(pid: number): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'command=', '-p', String(pid)])
    return stdout
  } catch (error) {
    // ps exits 1 for a pid that is gone.
    if (error instanceof Error && 'code' in error && error.code === 1) return ''
    throw error
  }
}
