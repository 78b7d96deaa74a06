import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** The processes that were started by this one and run, without those of a PostgreSQL. */
export async function childrenOf(pid: number): Promise<readonly number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,stat=,args='])
  const rows = stdout.split('\n').map((line) => /^ *(\d+) +(\d+) +(\S+) +(.*)$/.exec(line) ?? [])
  return rows
    .filter(([, , parent, state, args]) => parent === String(pid) && isRunning(state) && !isPostgres(args))
    .map(([, child]) => Number(child))
}

/** Whether the process runs: one that has ended and is not yet waited for by its parent does not. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'stat=', '-p', String(pid)])
    return isRunning(stdout.trim())
  } catch {
    return false // ps exits 1 for a pid that is gone
  }
}

function isRunning(state = ''): boolean {
  return state !== '' && !state.startsWith('Z')
}

function isPostgres(args = ''): boolean {
  return /^\S*postgres\b/.test(args)
}
