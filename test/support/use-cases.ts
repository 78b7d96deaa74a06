import { createHash, randomUUID } from 'node:crypto'
import { PassThrough, Readable } from 'node:stream'
import { expect } from 'vitest'
import { content } from '../../src/upload/content.js'
import { create, createWithBody, type FirstBody } from '../../src/upload/create.js'
import type { Digest } from '../../src/upload/digest.js'
import { type Engine, makeEngine, type Policy } from '../../src/upload/engine.js'
import { UploadError, type UploadErrorCode } from '../../src/upload/errors.js'
import type { UploadEvents } from '../../src/upload/events.js'
import { silent } from '../../src/upload/log.js'
import type { FinalDraft, UploadDraft, UploadRegistry } from '../../src/upload/ports.js'
import { type Received, type ReceiveRequest, receive } from '../../src/upload/receive.js'
import type { Upload, UploadId } from '../../src/upload/upload.js'
import { MemoryDatabase, type MemoryRegistry } from './memory-registry.js'
import { TroubledBytes } from './troubled-bytes.js'

/** One process: its node of the database, its engine, and what its listeners were told, in order. */
export interface Process {
  readonly registry: MemoryRegistry
  readonly engine: Engine
  readonly told: string[]
}

/** A database and a byte store in memory, and the processes that share them. */
export class World {
  now = Date.parse('2030-01-01')
  readonly db = new MemoryDatabase({ now: () => this.now })
  readonly bytes = new TroubledBytes()

  process(
    policy: Partial<Policy> = {},
    around: (registry: MemoryRegistry) => UploadRegistry = (registry) => registry,
  ): Process {
    const own = this.db.node()
    const registry = around(own)
    const engine = makeEngine({
      registry,
      bytes: this.bytes,
      log: silent,
      policy: { maxSize: null, assembly: 'background', patience: 1_000, ...policy },
    })
    return { registry: own, engine, told: listening(engine.events) }
  }
}

function listening(events: UploadEvents): string[] {
  const told: string[] = []
  for (const name of [
    'upload_started',
    'upload_completed',
    'checksum_failed',
    'upload_assembled',
    'upload_expired',
    'upload_terminated',
  ] as const) {
    events.on(name, ({ upload }) => void told.push(`${name} ${upload.kind}`))
  }
  events.on('chunk_received', ({ upload, start, stop }) => {
    told.push(`chunk_received ${upload.kind} ${start}-${stop}`)
  })
  return told
}

/** A registry of which one method fails so many times, as when the database is away for a moment. */
export function failing(
  registry: UploadRegistry,
  method: keyof UploadRegistry,
  times: number,
): UploadRegistry {
  let left = times
  return new Proxy(registry, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      return (...parameters: unknown[]) => {
        if (name !== method || left === 0) return Reflect.apply(value, target, parameters) as unknown
        left -= 1
        return Promise.reject(new UploadError('registry_unavailable', 'The database does not answer.'))
      }
    },
  })
}

export function draft(facts: Partial<UploadDraft> = {}): UploadDraft {
  return {
    id: randomUUID(),
    owner: null,
    kind: 'whole',
    protocol: 'tus',
    length: 5,
    metadata: null,
    filename: null,
    ...facts,
  }
}

export function finalOf(parts: readonly { id: UploadId }[], facts: Partial<FinalDraft> = {}): FinalDraft {
  return {
    id: randomUUID(),
    owner: null,
    metadata: null,
    sent: facts.metadata ?? null,
    filename: null,
    parts: parts.map(({ id }) => ({ id, name: `/files/${id}` })),
    maxSize: null,
    ...facts,
  }
}

/** A request body that holds all of this text. */
export function whole(text: string): Readable {
  return Readable.from([Buffer.from(text)], { objectMode: false })
}

/** A request body that is still being sent. */
export function sending(text: string): PassThrough {
  const source = new PassThrough()
  source.write(text)
  return source
}

export function append(
  { engine }: Process,
  upload: Upload,
  source: Readable,
  facts: Partial<ReceiveRequest> = {},
): Promise<Received> {
  return receive(engine, {
    id: upload.id,
    owner: upload.owner,
    protocol: upload.protocol,
    start: upload.offset,
    declaredLength: null,
    source,
    announced: null,
    expected: null,
    maxSize: null,
    signal: new AbortController().signal,
    ...facts,
  })
}

export function createWith(
  { engine }: Process,
  made: UploadDraft,
  source: Readable,
  facts: Partial<FirstBody> = {},
): Promise<Upload> {
  const signal = new AbortController().signal
  return createWithBody(engine, made, { source, announced: null, expected: null, signal, ...facts })
}

/** A file that no row knows of. */
export async function stray({ bytes }: World, epoch: number): Promise<void> {
  const options = { limit: 5, fresh: true }
  await bytes.write({ id: randomUUID(), epoch }, 0, whole('stray'), options).done
}

/** A complete upload with this text; what its making told is forgotten. */
export async function stored(on: Process, text: string, facts: Partial<UploadDraft> = {}): Promise<Upload> {
  const before = on.told.length
  const upload = await create(on.engine, draft({ length: text.length, ...facts }))
  const done = text.length === 0 ? upload : (await append(on, upload, whole(text))).upload
  on.told.splice(before)
  return done
}

export async function contentOf({ engine }: Process, upload: Upload): Promise<string> {
  let text = ''
  const range = { start: 0, stop: upload.length ?? 0 }
  for await (const piece of content(engine, upload.id, upload.owner, range)) text += String(piece)
  return text
}

export function sha1(text: string): Digest {
  return { algorithm: 'sha1', bytes: createHash('sha1').update(text).digest() }
}

export async function codeOf(call: Promise<unknown>): Promise<UploadErrorCode | 'none'> {
  try {
    await call
    return 'none'
  } catch (error) {
    if (error instanceof UploadError) return error.code
    throw error
  }
}

/** A world with one process and one new upload, as long as the text. */
export async function started(
  text: string,
): Promise<{ world: World; a: Process; upload: Upload; told: string[] }> {
  const world = new World()
  const a = world.process()
  const upload = await create(a.engine, draft({ length: text.length }))
  a.told.splice(0)
  return { world, a, upload, told: a.told }
}

/** Nobody holds the upload, and it has so many bytes. */
export async function isFree({ registry }: Process, upload: Upload, offset: number): Promise<void> {
  expect(await registry.find(upload.id, null)).toMatchObject({ held: false, upload: { offset } })
}
