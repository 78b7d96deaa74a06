import { createHash } from 'node:crypto'

/** Bytes that can be made again at any time: those of a plain upload, or of several in order. */
export interface Content {
  readonly length: number
  pieces(start?: number, stop?: number): Iterable<Buffer>
}

/** What a final of these has. */
export function joined(contents: readonly Content[]): Content {
  return {
    length: contents.reduce((sum, { length }) => sum + length, 0),
    *pieces() {
      for (const content of contents) yield* content.pieces()
    },
  }
}

const digests = new WeakMap<Content, string>()

/** SHA-256 of all of it, in hex; made once. */
export function digestOf(content: Content): string {
  const known = digests.get(content)
  if (known !== undefined) return known
  const hash = createHash('sha256')
  for (const piece of content.pieces()) hash.update(piece)
  const digest = hash.digest('hex')
  digests.set(content, digest)
  return digest
}
