import { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'
import { sizeOf } from '../source/size-of.js'

/** Bytes as they came, in order: to join them would take their memory, and its time, twice. */
export interface Bytes {
  readonly pieces: readonly Buffer[]
  readonly length: number
  /** Called when a request with these bytes failed, of which some may be on their way still. */
  failed?(): void
}

export const NO_BYTES: Bytes = { pieces: [], length: 0 }

export function bytesOf(pieces: readonly Buffer[]): Bytes {
  return { pieces, length: sizeOf(pieces) }
}

/** The first so many, and the rest. */
export function divided({ pieces, length }: Bytes, first: number): readonly [Bytes, Bytes] {
  let index = 0
  let before = 0
  for (; index < pieces.length && before + (pieces[index]?.length ?? 0) <= first; index++)
    before += pieces[index]?.length ?? 0
  const cut = pieces[index]
  if (cut === undefined || before === first)
    return [
      { pieces: pieces.slice(0, index), length: before },
      { pieces: pieces.slice(index), length: length - before },
    ]
  const at = first - before
  return [
    { pieces: [...pieces.slice(0, index), cut.subarray(0, at)], length: first },
    { pieces: [cut.subarray(at), ...pieces.slice(index + 1)], length: length - first },
  ]
}

/** As a body, which can be sent once. */
export function streamOf({ pieces }: Bytes): Readable {
  return Readable.from(pieces, { objectMode: false, highWaterMark: 1 })
}

/** CRC-32 as S3 writes it: base64 of four bytes, the most significant first. */
export function checksumOf({ pieces }: Bytes): string {
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(pieces.reduce((so, piece) => crc32(piece, so), 0))
  return sum.toString('base64')
}
