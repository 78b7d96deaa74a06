import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { concatenate } from '../../src/upload/concatenate.js'
import type { Engine } from '../../src/upload/engine.js'
import { sweep } from '../../src/upload/sweep.js'
import { fileCalls } from '../../stores/disk/file-calls.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import { unsynced } from './crash/mortal-calls.js'
import { type DiskOptions, diskStore, download, engineOf, finalOf, stored } from './engine-on-disk.js'
import { expectSwept } from './invariants.js'
import { KeyedBytes } from './keyed-bytes.js'
import { type TestSchema, testSchema } from './postgres.js'

/** A node and the engine on it. */
export interface StageNode {
  readonly postgres: OpenPostgres
  readonly engine: Engine
}

/** A final that waits to be assembled, and what it and its parts hold. */
export interface WaitingFinal {
  readonly final: string
  readonly parts: readonly string[]
  readonly contents: ReadonlyMap<string, Buffer>
}

/** Any number of nodes on one database and one directory. */
export class AssemblyStage {
  readonly schema: TestSchema = testSchema()
  readonly blobs: string

  private constructor(blobs: string) {
    this.blobs = blobs
  }

  static async open(): Promise<AssemblyStage> {
    return new AssemblyStage(await mkdtemp(join(tmpdir(), 'tributary-assembly-')))
  }

  async node(options: DiskOptions = {}): Promise<StageNode> {
    const postgres = await this.schema.open()
    const bytes = diskStore(this.blobs, options.fs ?? { ...fileCalls, ...unsynced })
    return { postgres, engine: engineOf(postgres.registry, bytes, options) }
  }

  /** Makes a final of complete parts of these lengths. */
  async waitingFinal({ engine }: StageNode, lengths: readonly number[]): Promise<WaitingFinal> {
    const contents = new Map<string, Buffer>()
    for (const length of lengths) {
      const bytes = new KeyedBytes(randomUUID(), length).slice()
      contents.set((await stored(engine, bytes, { kind: 'partial' })).id, bytes)
    }
    const parts = [...contents.keys()]
    const { upload } = await concatenate(engine, finalOf(parts))
    contents.set(upload.id, Buffer.concat([...contents.values()]))
    return { final: upload.id, parts, contents }
  }

  /** Ends a node's lease without a word, as if its process were frozen. */
  async lapse({ postgres }: StageNode): Promise<void> {
    postgres.lease.pause()
    await this.schema.run(`update $s.nodes set lease_until = clock_timestamp() - interval '1 second'
      where epoch = ${postgres.lease.epoch}`)
  }

  /** As if another process of this machine had seen it dead. */
  async bury({ postgres }: StageNode): Promise<void> {
    postgres.lease.pause()
    await this.schema.run(`update $s.nodes set lease_until = '-infinity'
      where epoch = ${postgres.lease.epoch}`)
  }

  /** The row of an assembly; undefined when there is none to do. */
  async assembly(final: string): Promise<{ readonly target: string; readonly copied: number } | undefined> {
    const [row] = await this.schema.run<{ target: string; copied: string }>(
      `select target, copied from $s.assemblies where upload_id = '${final}'`,
    )
    return row && { target: row.target, copied: Number(row.copied) }
  }

  /** The blobs an upload's content lies in. */
  async blobsOf(id: string): Promise<readonly string[]> {
    const rows = await this.schema.run<{ blob_id: string }>(
      `select blob_id from $s.extents where upload_id = '${id}' order by start`,
    )
    return rows.map(({ blob_id }) => blob_id)
  }

  /** Reads a final and its parts, but for what is not there any more, and finds their bytes. */
  async expectContents(
    { engine }: StageNode,
    { contents }: WaitingFinal,
    except: readonly string[] = [],
  ): Promise<void> {
    for (const [id, bytes] of contents) {
      if (except.includes(id)) continue
      expect(bytes.equals(await download(engine, id)), `content of ${id}`).toBe(true)
    }
  }

  /** Sweeps, and finds nothing broken and nothing left over. */
  async expectTidy({ engine }: StageNode, when: string): Promise<void> {
    await sweep(engine)
    await expectSwept(this.schema, this.blobs, when)
  }

  async close(): Promise<void> {
    await this.schema.drop()
    await rm(this.blobs, { recursive: true, force: true })
  }
}
