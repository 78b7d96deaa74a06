import { randomUUID } from 'node:crypto'
import { it } from 'vitest'
import type { Blob, Extent } from '../../../src/upload/blob.js'
import { isUploadError, type UploadErrorCode } from '../../../src/upload/errors.js'
import type {
  Claim,
  ClaimRequest,
  CompleteRequest,
  FinalDraft,
  Recorded,
  UploadDraft,
  UploadRegistry,
} from '../../../src/upload/ports.js'
import type { Upload } from '../../../src/upload/upload.js'

/** One database with nothing in it that an earlier test left, and the nodes that work on it. */
export interface RegistryBench {
  /** A registry with a lease of its own, as another process would have. */
  node(): Promise<UploadRegistry>
  /** Lets the lease of a node lapse and stops its heartbeat: a process that froze, or was killed. */
  lapse(registry: UploadRegistry): Promise<void>
  /** Ends the lease of a node that surely writes no more: it stopped, or was proved dead. */
  bury(registry: UploadRegistry): Promise<void>
  /** Lets a lapsed node go on: resolves after its first, late heartbeat. */
  thaw(registry: UploadRegistry): Promise<void>
  /** Moves the time at which an upload expires into the past. */
  makeDue(id: string): Promise<void>
  close(): Promise<void>
}

export interface RegistryHarness {
  /** In ms. */
  open(options: { readonly expiration: number; readonly fragoExpiration: number }): Promise<RegistryBench>
}

export const EXPIRATION = 60 * 60 * 1000
export const FRAGO_EXPIRATION = 3 * EXPIRATION

/** What a test plays on: a database, its nodes, and the bytes that writers would have stored. */
export class Stage {
  readonly bench: RegistryBench
  readonly a: UploadRegistry
  readonly #blobs = new Map<string, string[]>()

  private constructor(bench: RegistryBench, a: UploadRegistry) {
    this.bench = bench
    this.a = a
  }

  static async open(harness: RegistryHarness): Promise<Stage> {
    const bench = await harness.open({ expiration: EXPIRATION, fragoExpiration: FRAGO_EXPIRATION })
    try {
      return new Stage(bench, await bench.node())
    } catch (error) {
      await bench.close()
      throw error
    }
  }

  /** Stores text where a claim says, at a distance from its start. Returns the end of it, in bytes of the upload. */
  write(claim: Claim, text: string, after = 0): number {
    this.#store(claim.blob, claim.blobOffset + after, text)
    return claim.start + after + text.length
  }

  /** A new upload with all the text it will ever have. */
  async stored(text: string, facts: Partial<UploadDraft> = {}): Promise<Upload> {
    const blob = { id: randomUUID(), epoch: this.a.epoch }
    this.#store(blob, 0, text)
    return this.a.createStored(draft({ length: text.length, ...facts }), blob, text.length)
  }

  partial(text: string, facts: Partial<UploadDraft> = {}): Promise<Upload> {
    return this.stored(text, { kind: 'partial', ...facts })
  }

  /** Finishes an unfinished upload with text, in one append. */
  async append(upload: Upload, text: string, on = this.a): Promise<Upload> {
    const claim = await claimed(on, upload)
    return (await on.record(claim, this.write(claim, text))).upload
  }

  /** A new upload of chunks. */
  chunked(length: number, facts: Partial<UploadDraft> = {}): Promise<Upload> {
    return this.a.create(draft({ protocol: 'frago', length, ...facts }))
  }

  /** Receives text as one chunk, in place of one that begins at the same byte. */
  async chunk(upload: Upload, start: number, text: string, on = this.a): Promise<Recorded> {
    const claim = await claimed(on, upload, { start, stop: start + text.length })
    return on.record(claim, this.write(claim, text))
  }

  /** What can be read of an upload before it is complete. */
  async beginning(upload: Upload, on = this.a): Promise<string | null> {
    const prefix = await on.prefix(upload.id)
    const text = prefix && this.read(prefix.extents)
    if (text?.length !== prefix?.stop) throw new Error(`the extents do not end at ${prefix?.stop}`)
    return text
  }

  /** The content as a reader would see it; null where there is none to read. */
  async content(upload: Upload, on = this.a): Promise<string | null> {
    const extents = await on.extents(upload.id, upload.owner)
    return extents && this.read(extents)
  }

  read(extents: readonly Extent[]): string {
    let text = ''
    for (const { start, stop, blob, blobOffset } of extents) {
      if (start !== text.length) throw new Error(`an extent begins at ${start}, after ${text.length} bytes`)
      const bytes = this.#blobs.get(blob.id)?.slice(blobOffset, blobOffset + stop - start) ?? []
      if (bytes.length !== stop - start) throw new Error('an extent reaches beyond its blob')
      text += bytes.join('')
    }
    return text
  }

  /** What an assembler does with bytes. */
  copy(target: Blob, extents: readonly Extent[]): void {
    this.#store(target, 0, this.read(extents))
  }

  /** Takes bytes away that nobody asked to: reading them fails. */
  lose(blob: Blob): void {
    this.#blobs.delete(blob.id)
  }

  #store(blob: Blob, position: number, text: string): void {
    const bytes = this.#blobs.get(blob.id) ?? []
    for (const [index, letter] of [...text].entries()) bytes[position + index] = letter
    this.#blobs.set(blob.id, bytes)
  }
}

/** States one fact about registries, on a database of its own. */
export type Fact = (name: string, body: (stage: Stage) => Promise<void>) => void

export function factsOf(harness: RegistryHarness): Fact {
  return (name, body) => {
    it(name, async () => {
      const stage = await Stage.open(harness)
      try {
        await body(stage)
      } finally {
        await stage.bench.close()
      }
    })
  }
}

export function draft(facts: Partial<UploadDraft> = {}): UploadDraft {
  return {
    id: randomUUID(),
    owner: null,
    kind: 'whole',
    protocol: 'tus',
    length: 10,
    metadata: null,
    filename: null,
    ...facts,
  }
}

export function finalOf(parts: readonly { id: string }[], facts: Partial<FinalDraft> = {}): FinalDraft {
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

export function claimOf(upload: Upload, facts: Partial<ClaimRequest> = {}): ClaimRequest {
  return {
    id: upload.id,
    owner: upload.owner,
    protocol: upload.protocol,
    start: upload.offset,
    stop: null,
    declaredLength: null,
    ...facts,
  }
}

/** A claim that must be granted. */
export async function claimed(
  registry: UploadRegistry,
  upload: Upload,
  facts: Partial<ClaimRequest> = {},
): Promise<Claim> {
  const claim = await registry.claim(claimOf(upload, facts))
  if (claim === null) throw new Error('the range is held by somebody else')
  return claim
}

/** The code of the error a call fails with; `none` when it does not fail. */
export async function codeOf(call: Promise<unknown>): Promise<UploadErrorCode | 'none'> {
  try {
    await call
    return 'none'
  } catch (error) {
    if (isUploadError(error)) return error.code
    throw error
  }
}

export function ids(of: readonly { readonly id: string }[]): string[] {
  return of.map(({ id }) => id).sort()
}

export async function found(registry: UploadRegistry, upload: Upload): Promise<Upload | null> {
  return (await registry.find(upload.id, upload.owner))?.upload ?? null
}

/** What makes an upload complete, its bytes not compared with anything. */
export function finishOf(upload: Upload, facts: Partial<CompleteRequest> = {}): CompleteRequest {
  const { id, owner, protocol } = upload
  return { id, owner, protocol, digest: null, token: null, publishAs: null, ...facts }
}

/** Resolves when a signal aborts; the time-out of the test says when it does not. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
