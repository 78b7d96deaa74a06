import cluster from 'node:cluster'
import { StartFailure } from './failure.js'
import { closeUntaken } from './untaken-connections.js'
import type { WorkerTask } from './worker-messages.js'
import type { Forked } from './worker-process.js'

/** The variable that makes a process a worker of ours. */
const TASK = 'TRIBUTARY_WORKER'

/** Starts this program once more, as a worker on the same settings. */
export function fork(task: WorkerTask): Forked {
  if (!cluster.isPrimary) {
    throw new StartFailure(
      'WORKERS: this process is a worker itself, of a program such as pm2 in cluster mode; leave WORKERS unset there',
    )
  }
  const worker = cluster.fork({ [TASK]: JSON.stringify(task) })
  closeUntaken(worker)
  return worker
}

/** The task of this process, if it is a worker. */
export function taskIn(env: Readonly<Record<string, string | undefined>>): WorkerTask | null {
  const text = env[TASK]
  return cluster.isWorker && text !== undefined ? (JSON.parse(text) as WorkerTask) : null
}

/** Leaves nothing behind when this process is to end at once. */
export function killWorkers(): void {
  for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGKILL')
}
