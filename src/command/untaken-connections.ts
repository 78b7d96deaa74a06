import type { Worker } from 'node:cluster'

interface Handle {
  close(): void
}

/** Whom a connection was handed to last. */
const holders = new WeakMap<Handle, Worker>()

/**
 * Closes a connection that was handed to a worker which died before it took it. node:cluster (looked up in Node 20 and
 * 24) waits for the answer of the dead for ever, and so does the client, who would try again if it only knew. Connections
 * are handed over one at a time, through `send`; closing one that another process has taken meanwhile changes nothing.
 */
export function closeUntaken(worker: Worker): void {
  const child = worker.process
  const send = child.send.bind(child) as (message: unknown, handle?: unknown, ...rest: unknown[]) => boolean
  let last: Handle | null = null
  child.send = (message: unknown, handle?: unknown, ...rest: unknown[]) => {
    if (isHandle(handle)) {
      last = handle
      holders.set(handle, worker)
    }
    return send(message, handle, ...rest)
  }
  child.once('close', () => {
    if (last !== null && holders.get(last) === worker) last.close()
  })
}

function isHandle(value: unknown): value is Handle {
  return typeof value === 'object' && value !== null && 'close' in value && typeof value.close === 'function'
}
