import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ByteStore, UploadRegistry } from '../../../src/upload/ports.js'
import { fileCalls } from '../../../stores/disk/file-calls.js'
import type { OpenPostgres } from '../../../stores/postgres/open.js'
import { diskStore, engineOf } from '../engine-on-disk.js'
import { expectInvariants, expectSwept } from '../invariants.js'
import { type TestSchema, testSchema } from '../postgres.js'
import { reportEveryBlock } from '../report-every-block.js'
import { CrashStage, type Life } from './crash-stage.js'
import type { Mortal } from './mortal.js'
import { mortalCalls, unsynced } from './mortal-calls.js'
import { mortalPort } from './mortal-port.js'
import { Power } from './power.js'

/** Both nodes on one directory. */
export class DiskStage extends CrashStage {
  readonly #blobs: string

  private constructor(schema: TestSchema, blobs: string, survivor: OpenPostgres, mortal: OpenPostgres) {
    super(schema, engineOf(survivor.registry, diskStore(blobs, { ...fileCalls, ...unsynced })), mortal)
    this.#blobs = blobs
  }

  static async open(): Promise<DiskStage> {
    const schema = testSchema()
    const blobs = await mkdtemp(join(tmpdir(), 'tributary-crash-'))
    const survivor = await schema.open()
    return new DiskStage(schema, blobs, survivor, await schema.open())
  }

  expectInvariants(when: string): Promise<void> {
    return expectInvariants(this.schema, this.#blobs, when)
  }

  expectSwept(when: string): Promise<void> {
    return expectSwept(this.schema, this.#blobs, when)
  }

  protected async begin(mortal: Mortal, _postgres: OpenPostgres, registry: UploadRegistry): Promise<Life> {
    const power = await Power.on(this.#blobs)
    const store: ByteStore = diskStore(this.#blobs, reportEveryBlock(mortalCalls(mortal, power)))
    const bytes = mortalPort(store, mortal, ['remove', 'sweepEpoch'], ['check'])
    return {
      engine: engineOf(registry, bytes),
      ended: async (death) => {
        if (death === 'unpowered') await power.cut()
      },
    }
  }

  override async close(): Promise<void> {
    await super.close()
    await rm(this.#blobs, { recursive: true, force: true })
  }
}
