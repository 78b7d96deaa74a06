import type { Readable } from 'node:stream'
import { onArrival } from './arrival.js'

/** Looked at this often within the time-out, so that it is noticed at most a quarter late. */
const LOOKS = 4

/**
 * Calls `onIdle` once nothing has come for `limit` ms although somebody waits for it; a stream its own reader does
 * not empty, because the disk is slow, is not idle. Returns how to stop watching.
 */
export function watchIdle(source: Readable, limit: number, onIdle: () => void): () => void {
  let last = performance.now()
  const stopCounting = onArrival(source, () => {
    last = performance.now()
  })
  const timer = setInterval(() => {
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
