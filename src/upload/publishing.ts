import { assemble } from './assemble.js'
import { discard } from './discard.js'
import type { Engine } from './engine.js'
import { busy, isGone, notFound } from './errors.js'
import { patiently } from './patience.js'
import type { Publication, Published, Publisher, PublishTurn, ReadyFile } from './ports.js'
import type { Upload, UploadId } from './upload.js'

/** Between two looks at another node that publishes: its word usually comes first, by notification. */
const LOOK_AGAIN_MS = 500

/** How long somebody waits for another node to publish, in ms: with a large file on a slow disk, an hour would be true. */
const PATIENCE_MS = 30_000

/** How long another node's assembly is waited for, in ms, before its bytes are copied a second time. */
const ASSEMBLY_MS = 10 * 60_000

/**
 * How long a database that is away is waited for to give a turn back, in ms: a lease and a little. Away for longer, it
 * takes the turn from this node by itself, and whoever asked for the file waits for this.
 */
const LEAVING_MS = 5_000

/** So often is a file whose blobs moved under the copy begun anew, before that counts as a failure. */
const MOVES = 5

/** Lets finished files appear under their filenames, each once, whoever asks for it and how often. */
export class Publishing {
  readonly #engine: () => Engine
  /** What this process is at, by upload: who asks meanwhile waits for the same. */
  readonly #running = new Map<UploadId, Promise<boolean>>()

  /** `engine` is asked for when it is needed, as this is a part of it. */
  constructor(engine: () => Engine) {
    this.#engine = engine
  }

  /**
   * Publishes a complete upload that is to be published, or waits for whoever is at it; it is in its place when this
   * resolves, and `upload_completed` was told. False when nothing is to be published. Throws `storage_full`,
   * `storage_failed`, `registry_unavailable`; asking again goes on with it, and so does the sweep.
   */
  publish(id: UploadId): Promise<boolean> {
    const running = this.#running.get(id)
    if (running !== undefined) return running
    const begun = this.#publish(id).finally(() => this.#running.delete(id))
    this.#running.set(id, begun)
    return begun
  }

  /** Lets others take the turn to publish, should this node have it. Never throws. */
  async leave(id: UploadId): Promise<void> {
    const { registry, log } = this.#engine()
    try {
      await patiently(() => registry.leavePublication(id), LEAVING_MS)
    } catch (error) {
      log.warn(
        { err: error, upload: id },
        'a turn to publish could not be given back; a later sweep goes on with it',
      )
    }
  }

  async #publish(id: UploadId): Promise<boolean> {
    const engine = this.#engine()
    const { publisher } = engine
    if (publisher === null) return false
    try {
      const turn = await takeTurn(engine, id)
      if (turn?.outcome !== 'ours') return turn !== null
      await carryOut(engine, publisher, turn.publication, turn.upload)
      return true
    } catch (error) {
      await this.leave(id)
      throw error
    }
  }
}

/** Waits for another node that is at it, but not for ever: whoever asks again goes on waiting. Throws `upload_busy`. */
async function takeTurn({ registry }: Engine, id: UploadId): Promise<PublishTurn | null> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    const turn = await patiently(() => registry.takePublication(id))
    if (turn?.outcome !== 'elsewhere') return turn
    if (performance.now() > deadline) throw busy()
    await registry.handedBack(id, LOOK_AGAIN_MS)
  }
}

async function carryOut(
  engine: Engine,
  publisher: Publisher,
  publication: Publication,
  upload: Upload,
): Promise<void> {
  const published = await unlessMoved(() => publishOnce(engine, publisher, publication, upload))
  if (published === null) return
  if (published.first) engine.events.tell('upload_completed', { upload: published.upload })
  if (engine.policy.retainPublished === 0) await release(engine, 0)
}

async function publishOnce(
  engine: Engine,
  publisher: Publisher,
  publication: Publication,
  upload: Upload,
): Promise<Published | null> {
  const ready = await prepare(engine, publisher, publication, upload)
  return patiently(() =>
    engine.registry.publish(publication, (holder) => publisher.place(ready, publication.filename, holder)),
  )
}

/** Begins again where blobs, or what was made of them, went away meanwhile: an assembly, or somebody who tidies up. */
async function unlessMoved<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (!isGone(error) || attempt === MOVES) throw error
    }
  }
}

/** Where the bytes lie in several blobs, one is made of them first, which they share with the published file. */
async function prepare(
  engine: Engine,
  publisher: Publisher,
  publication: Publication,
  upload: Upload,
): Promise<ReadyFile> {
  let extents = await extentsOf(engine, upload)
  const deadline = performance.now() + ASSEMBLY_MS
  while (extents.length > 1 && engine.policy.assembly !== 'never' && performance.now() < deadline) {
    const tried = await assemble(engine, upload.id)
    extents = await extentsOf(engine, upload)
    // Tried in vain, for want of room say: a copy may do elsewhere. Not tried: somebody else is at it.
    if (tried) break
    await engine.registry.handedBack(upload.id, LOOK_AGAIN_MS)
  }
  return publisher.prepare(publication, extents, upload.length ?? 0)
}

async function extentsOf(engine: Engine, { id, owner }: Upload) {
  const extents = await engine.registry.extents(id, owner)
  if (extents === null) throw notFound()
  return extents
}

/** Lets go of bytes whose published file was there long enough. Returns of how many uploads. */
export async function release(engine: Engine, retain: number, limit = 100): Promise<number> {
  const { count, unreferenced } = await engine.registry.releasePublished(retain, limit)
  await discard(engine, unreferenced)
  return count
}
