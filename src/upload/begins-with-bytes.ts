import type { Readable } from 'node:stream'

/** Waits for the first byte or the end of a source, or for what ends the request. */
export function beginsWithBytes(source: Readable, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = () => {
      signal.removeEventListener('abort', settle)
      for (const event of SETTLING) source.off(event, settle)
      resolve(source.readableLength > 0)
    }
    if (source.readableLength > 0 || source.readableEnded || source.destroyed || signal.aborted)
      return settle()
    signal.addEventListener('abort', settle)
    for (const event of SETTLING) source.on(event, settle)
  })
}

const SETTLING = ['readable', 'end', 'error', 'close'] as const
