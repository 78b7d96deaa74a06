import type { Readable } from 'node:stream'

/**
 * How long, and how much of, a body is still read after its request was answered. Closing at once would reset the
 * connection, and with it the answer a client has not read because it is still sending (nginx calls it lingering).
 */
const MOST_MS = 5_000
const MOST_BYTES = 64 * 1024 * 1024

/** Reads and drops what is left of a body; resolves when it ended, or when that was enough. */
export function linger(source: Readable): Promise<void> {
  return new Promise((resolve) => {
    let dropped = 0
    const stop = () => {
      clearTimeout(timer)
      source.off('data', drop)
      for (const event of ENDS) source.off(event, stop)
      resolve()
    }
    const drop = (bytes: Uint8Array) => {
      dropped += bytes.byteLength
      if (dropped > MOST_BYTES) stop()
    }
    const timer = setTimeout(stop, MOST_MS)
    for (const event of ENDS) source.on(event, stop)
    source.on('data', drop)
    // Its reader may have left it paused.
    source.resume()
  })
}

const ENDS = ['end', 'close', 'error'] as const
