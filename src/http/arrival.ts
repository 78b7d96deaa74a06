import type { Readable } from 'node:stream'

/**
 * Counts bytes as they reach a stream, until what it returns is called. Neither a `data` listener, which would start
 * the stream before its reader is there, nor a stream in between, which would cost throughput.
 */
export function onArrival(source: Readable, arrived: (bytes: number) => void): () => void {
  const push = source.push
  let counting = true
  source.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (counting && chunk instanceof Uint8Array) arrived(chunk.byteLength)
    return push.call(source, chunk, encoding)
  }
  return () => {
    // Not put back: others may have come between since.
    counting = false
  }
}

/** Calls `begun` when the stream's reader asks for bytes for the first time. */
export function onFirstRead(source: Readable, begun: () => void): void {
  const read = source._read
  source._read = (size: number): void => {
    source._read = read
    begun()
    read.call(source, size)
  }
}
