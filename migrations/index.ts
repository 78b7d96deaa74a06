import type { Knex } from 'knex'
import * as tables from './0001_tables.js'
import * as claims from './0002_claims.js'
import * as endings from './0003_endings.js'
import * as assembly from './0004_assembly.js'
import * as frago from './0005_frago.js'
import * as chunkRecords from './0006_chunk_records.js'
import * as finishing from './0007_finishing.js'
import * as plans from './0008_plans.js'
import * as sweeping from './0009_sweeping.js'
import * as segments from './0010_segments.js'
import * as relocation from './0011_relocation.js'
import * as covered from './0012_covered.js'
import * as sharedTargets from './0013_shared_targets.js'
import * as scattered from './0014_scattered.js'

/** One step of the schema's history. Applied steps never change; `s` is the schema, quoted as an identifier. */
export interface Migration {
  readonly name: string
  up(knex: Knex, s: string): Promise<void>
}

/** All steps in order. Names are stored in the database, so they have no extension (`.ts` here, `.js` when built). */
export const migrations: readonly Migration[] = [
  { name: '0001_tables', up: tables.up },
  { name: '0002_claims', up: claims.up },
  { name: '0003_endings', up: endings.up },
  { name: '0004_assembly', up: assembly.up },
  { name: '0005_frago', up: frago.up },
  { name: '0006_chunk_records', up: chunkRecords.up },
  { name: '0007_finishing', up: finishing.up },
  { name: '0008_plans', up: plans.up },
  { name: '0009_sweeping', up: sweeping.up },
  { name: '0010_segments', up: segments.up },
  { name: '0011_relocation', up: relocation.up },
  { name: '0012_covered', up: covered.up },
  { name: '0013_shared_targets', up: sharedTargets.up },
  { name: '0014_scattered', up: scattered.up },
]
