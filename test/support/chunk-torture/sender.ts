import { createHash } from 'node:crypto'
import { KeyedBytes } from '../keyed-bytes.js'
import { FragoClient } from './frago-client.js'

/**
 * A program: one of several that send an upload together. It asks what is missing and sends its share of that, one
 * chunk after the other; each that is acknowledged is a line on stdout before the next one is begun.
 */
export interface Task {
  readonly base: string
  readonly upload: string
  /** Of the bytes. */
  readonly key: string
  readonly length: number
  readonly chunkSize: number
  /** Every so many-eth chunk is ours, from this one on. */
  readonly share: number
  readonly shares: number
}

const { base, upload, key, length, chunkSize, share, shares } = JSON.parse(process.argv[2] ?? '') as Task
const client = new FragoClient(base)
const bytes = new KeyedBytes(key, length)
const { chunks } = await client.list(upload)
const known = new Set(chunks.map(({ start }) => start))

for (let start = share * chunkSize; start < length; start += shares * chunkSize) {
  if (known.has(start)) continue
  const stop = Math.min(start + chunkSize, length)
  const hash = createHash('sha256')
  const answer = await client.put(upload, { start, stop, total: length }, function* () {
    for (const piece of bytes.pieces(start, stop, 256 * 1024)) {
      hash.update(piece)
      yield piece
    }
  })
  if (answer.status !== 200)
    throw new Error(`${start} is answered ${answer.status} ${JSON.stringify(answer.body)}`)
  process.stdout.write(`${start} ${stop} ${hash.digest('hex')}\n`)
}
