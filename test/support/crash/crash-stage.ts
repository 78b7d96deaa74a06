import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Engine } from '../../../src/upload/engine.js'
import type { ByteStore, UploadRegistry } from '../../../src/upload/ports.js'
import { fileCalls } from '../../../stores/disk/file-calls.js'
import type { OpenPostgres } from '../../../stores/postgres/open.js'
import { diskStore, engineOf } from '../engine-on-disk.js'
import { type TestSchema, testSchema } from '../postgres.js'
import { reportEveryBlock } from '../report-every-block.js'
import { Mortal } from './mortal.js'
import { mortalCalls, unsynced } from './mortal-calls.js'
import { mortalPort } from './mortal-port.js'
import { Power } from './power.js'

/**
 * How a node dies: `buried` as a process of this machine that is provably gone, `lapsed` as one that is only silent,
 * and may be frozen, `unpowered` with its machine, which forgets what was not synced.
 */
export type Death = 'buried' | 'lapsed' | 'unpowered'

const WRITES: readonly (keyof UploadRegistry & string)[] = [
  'create',
  'createStored',
  'claim',
  'checkpoint',
  'record',
  'release',
  'concatenate',
  'terminate',
  'expireDue',
  'forgetBlobs',
  'retireEpochs',
  'epochSwept',
  'takeAssembly',
  'assemblyProgress',
  'finishAssembly',
  'abandonAssembly',
]
const LOOKS: readonly (keyof UploadRegistry & string)[] = [
  'find',
  'extents',
  'unreferencedBlobs',
  'knownBlobs',
]

/** Two nodes on one database and one directory: one that dies again and again, and one that survives. */
export class CrashStage {
  readonly schema: TestSchema
  readonly blobs: string
  readonly survivor: Engine
  readonly #mortal: OpenPostgres

  private constructor(schema: TestSchema, blobs: string, survivor: OpenPostgres, mortal: OpenPostgres) {
    this.schema = schema
    this.blobs = blobs
    this.survivor = engineOf(survivor.registry, diskStore(blobs, { ...fileCalls, ...unsynced }))
    this.#mortal = mortal
  }

  static async open(): Promise<CrashStage> {
    const schema = testSchema()
    const blobs = await mkdtemp(join(tmpdir(), 'tributary-crash-'))
    const survivor = await schema.open()
    return new CrashStage(schema, blobs, survivor, await schema.open())
  }

  /** An engine on the node that dies. */
  #engine(mortal: Mortal, power: Power): Engine {
    const store: ByteStore = diskStore(this.blobs, reportEveryBlock(mortalCalls(mortal, power)))
    const bytes = mortalPort(store, mortal, ['remove', 'sweepEpoch'], ['check'])
    return engineOf(mortalPort<UploadRegistry>(this.#mortal.registry, mortal, WRITES, LOOKS), bytes)
  }

  /**
   * Runs an action to its death at one step, counted from `from` on, and lets the process begin a new life. Rejects
   * when something else ended it.
   */
  async dieAt(
    step: number,
    action: (engine: Engine) => Promise<unknown>,
    death: Death,
    from: string | null = null,
  ): Promise<Mortal> {
    const mortal = new Mortal(step, from)
    const power = await Power.on(this.blobs)
    try {
      await action(this.#engine(mortal, power))
    } catch (error) {
      if (mortal.death === null) throw error
    }
    await mortal.stillness()
    if (death === 'unpowered') await power.cut()
    await this.#pronounceDead(death)
    return mortal
  }

  /** The dead node's lease ends, and its process takes another. */
  async #pronounceDead(death: Death): Promise<void> {
    const { lease } = this.#mortal
    lease.pause()
    const until = death === 'lapsed' ? `clock_timestamp() - interval '1 second'` : `'-infinity'`
    await this.schema.run(`update $s.nodes set lease_until = ${until} where epoch = ${lease.epoch}`)
    await lease.start()
  }

  async close(): Promise<void> {
    await this.schema.drop()
    await rm(this.blobs, { recursive: true, force: true })
  }
}
