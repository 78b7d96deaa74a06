import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { onArrival } from './arrival.js'

/** Looked at this often within the time-out, so that it is noticed at most a quarter late. */
const LOOKS = 4

/**
 * Calls `onIdle` once nothing of a body has come for `limit` ms although somebody waits for it: not of one that has come whole, nor
 * while its own reader does not empty it, because the disk is slow. Returns how to stop watching.
 */
export function watchIdle(source: IncomingMessage, limit: number, onIdle: () => void): () => void {
  let last = performance.now()
  const stopCounting = onArrival(source, () => {
    last = performance.now()
  })
  const timer = setInterval(() => {
    if (source.complete) return stop()
    const now = performance.now()
    if (isHeldBack(source)) last = now
    if (now - last < limit) return
    stop()
    onIdle()
  }, limit / LOOKS).unref()
  const stop = () => {
    clearInterval(timer)
    stopCounting()
  }
  return stop
}

/** A reader that only waits for bytes counts as paused to Node, too, but has no `data` listener. */
function isHeldBack(source: Readable): boolean {
  return source.readableLength > 0 || (source.isPaused() && source.listenerCount('data') > 0)
}
