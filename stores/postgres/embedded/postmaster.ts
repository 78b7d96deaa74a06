import { rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Binaries } from './binaries.js'
import { codeOf } from './error.js'
import { type PidFile, readPidFile } from './pid-file.js'
import { isPostgresOf } from './process-table.js'
import { runToEnd } from './runner.js'
import { socketPath } from './socket-path.js'

/** Longer than any checkpoint of a 64 MB cache; Postgres itself then kills what is left 5 s after SIGQUIT. */
const FAST_SHUTDOWN_MS = 30_000
const IMMEDIATE_SHUTDOWN_MS = 10_000

const EMPTY_FILE_IS_DEAD_MS = 3_000

/**
 * What `postmaster.pid` stands for: a postmaster of this directory (which may be ending), or nobody any more.
 */
export type Leftover = { readonly running?: PidFile; readonly stale?: PidFile }

/** A pid file counts when its pid is a postgres of this directory, or when its socket answers. */
export async function findLeftover(dataDirectory: string): Promise<Leftover> {
  const file = await readPidFile(dataDirectory)
  if (file === undefined) {
    await removeEmptyFile(join(dataDirectory, 'postmaster.pid'))
    return {}
  }
  if (await isPostgresOf(file.pid, dataDirectory)) return { running: file }
  return (await answers(file)) ? { running: file } : { stale: file }
}

/**
 * Postgres refuses an empty lock file for good: it cannot tell a postmaster that is about to fill it from a
 * full disk or a power cut. Time can: between creating and filling lies nothing but a write.
 */
async function removeEmptyFile(path: string): Promise<void> {
  try {
    const { size, mtimeMs } = await stat(path)
    if (size === 0 && Date.now() - mtimeMs > EMPTY_FILE_IS_DEAD_MS) await rm(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}

/**
 * A postmaster in another container on the same volume has a pid that means nothing here, but its socket
 * answers. A TCP port proves nothing: after a restart of the machine it may be anybody's.
 */
async function answers({ socketDirectory, port }: PidFile): Promise<boolean> {
  if (socketDirectory === '') return false
  const socket = connect(socketPath(socketDirectory, port))
  try {
    return await new Promise((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
  } finally {
    socket.destroy()
  }
}

/**
 * Ends a postmaster and waits until it is gone: with a checkpoint, and, when that takes too long, without.
 */
export async function endPostmaster(
  pid: number,
  dataDirectory: string,
  binaries: Binaries,
  fastShutdown = FAST_SHUTDOWN_MS,
): Promise<void> {
  if (process.platform === 'win32') {
    // Signals are emulated there by pg_ctl; kill() would be the immediate kind.
    await runToEnd({ file: binaries.pg_ctl, args: ['stop', '-m', 'fast', '-D', dataDirectory] })
    return
  }
  const steps = [
    ['SIGINT', fastShutdown],
    ['SIGQUIT', IMMEDIATE_SHUTDOWN_MS],
    ['SIGKILL', IMMEDIATE_SHUTDOWN_MS],
  ] as const
  for (const [signal, patience] of steps) {
    // Checked before each signal: the pid may have become somebody else's.
    if (!(await isPostgresOf(pid, dataDirectory))) return
    sendSignal(pid, signal)
    if (await isGone(pid, dataDirectory, patience)) return
  }
  throw new Error(`process ${pid} does not end`)
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error
  }
}

/** Asked again and again, because an adopted postmaster is no child whose end would be announced. */
async function isGone(pid: number, dataDirectory: string, milliseconds: number): Promise<boolean> {
  const until = performance.now() + milliseconds
  while (await isPostgresOf(pid, dataDirectory)) {
    if (performance.now() > until) return false
    await sleep(5)
  }
  return true
}
