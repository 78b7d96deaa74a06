import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { content } from '../../src/upload/content.js'
import { type Engine, makeEngine, type Policy } from '../../src/upload/engine.js'
import { type Logger, silent } from '../../src/upload/log.js'
import type { ByteStore, UploadDraft, UploadRegistry } from '../../src/upload/ports.js'
import { type Received, receive } from '../../src/upload/receive.js'
import type { Upload } from '../../src/upload/upload.js'
import { DiskByteStore } from '../../stores/disk/byte-store.js'
import type { FileCalls } from '../../stores/disk/file-calls.js'

/** Small, so that a few hundred KiB are many steps of an assembly. */
const BLOCK_BYTES = 64 * 1024

export interface DiskOptions {
  readonly fs?: FileCalls
  readonly policy?: Partial<Policy>
  readonly log?: Logger
}

/** The store as the server uses it, but for the size of the assembler's blocks. */
export function diskStore(directory: string, fs?: FileCalls): DiskByteStore {
  return new DiskByteStore({
    directory,
    durability: 'strict',
    assembleBlockBytes: BLOCK_BYTES,
    ...(fs && { fs }),
  })
}

/** Ports made to an engine. Nobody waits long for a holder here. */
export function engineOf(
  registry: UploadRegistry,
  bytes: ByteStore,
  options: Omit<DiskOptions, 'fs'> = {},
): Engine {
  const log = options.log ?? silent
  const policy = { maxSize: null, assembly: 'background', patience: 1_000, ...options.policy } as const
  return makeEngine({ registry, bytes, log, policy })
}

export function draft(facts: Partial<UploadDraft> = {}): UploadDraft {
  return {
    id: randomUUID(),
    owner: null,
    kind: 'whole',
    protocol: 'tus',
    length: 0,
    metadata: null,
    filename: null,
    ...facts,
  }
}

/** A final of these parts, as `concatenate` wants it. */
export function finalOf(parts: readonly string[], id: string = randomUUID()) {
  const named = parts.map((part) => ({ id: part, name: `/files/${part}` }))
  return { id, owner: null, metadata: null, sent: null, filename: null, parts: named, maxSize: null }
}

/** Appends bytes as a PATCH would. */
export function append(
  engine: Engine,
  id: string,
  start: number,
  pieces: Iterable<Buffer> | AsyncIterable<Buffer>,
): Promise<Received> {
  return receive(engine, {
    id,
    owner: null,
    protocol: 'tus',
    start,
    declaredLength: null,
    source: Readable.from(pieces, { objectMode: false }),
    announced: null,
    expected: null,
    maxSize: null,
    signal: new AbortController().signal,
  })
}

/** A complete upload with these bytes. */
export async function stored(
  engine: Engine,
  bytes: Buffer,
  facts: Partial<UploadDraft> = {},
): Promise<Upload> {
  const upload = await engine.registry.create(draft({ length: bytes.length, ...facts }))
  if (bytes.length === 0) return upload
  return (await append(engine, upload.id, 0, [bytes])).upload
}

/** All of a complete upload. */
export async function download(engine: Engine, id: string): Promise<Buffer> {
  const found = await engine.registry.find(id, null)
  const pieces: Buffer[] = []
  const source = content(engine, id, null, { start: 0, stop: found?.upload.length ?? 0 })
  for await (const piece of source) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}
