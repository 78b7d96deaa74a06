import type { Engine } from '../../../src/upload/engine.js'
import type { UploadRegistry } from '../../../src/upload/ports.js'
import type { OpenPostgres } from '../../../stores/postgres/open.js'
import type { TestSchema } from '../postgres.js'
import { Mortal } from './mortal.js'
import { mortalPort } from './mortal-port.js'

/**
 * How a node dies: `buried` as a process of this machine that is provably gone, `lapsed` as one that is only silent,
 * and may be frozen, `unpowered` with its machine, which forgets what was not synced.
 */
export type Death = 'buried' | 'lapsed' | 'unpowered'

/** A node from its start to its death. */
export interface Life {
  readonly engine: Engine
  /** What its death does to what it stored. */
  ended(death: Death): Promise<void>
}

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

/** Two nodes on one database and one place for bytes: one that dies again and again, and one that survives. */
export abstract class CrashStage {
  readonly schema: TestSchema
  readonly survivor: Engine
  readonly #mortal: OpenPostgres

  protected constructor(schema: TestSchema, survivor: Engine, mortal: OpenPostgres) {
    this.schema = schema
    this.survivor = survivor
    this.#mortal = mortal
  }

  /** Everything that must be true at every moment. */
  abstract expectInvariants(when: string): Promise<void>

  /** As that, once nothing runs and a sweep went over everything. */
  abstract expectSwept(when: string): Promise<void>

  /** A node whose registry, and whose bytes, end with `mortal`. */
  protected abstract begin(mortal: Mortal, postgres: OpenPostgres, registry: UploadRegistry): Promise<Life>

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
    const registry = mortalPort<UploadRegistry>(this.#mortal.registry, mortal, WRITES, LOOKS)
    const life = await this.begin(mortal, this.#mortal, registry)
    try {
      await action(life.engine)
    } catch (error) {
      if (mortal.death === null) throw error
    }
    await mortal.stillness()
    await life.ended(death)
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
  }
}
