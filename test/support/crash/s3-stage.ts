import { randomUUID } from 'node:crypto'
import { ListMultipartUploadsCommand, ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3'
import { expect } from 'vitest'
import type { UploadRegistry } from '../../../src/upload/ports.js'
import type { SegmentLedger } from '../../../src/upload/segment.js'
import type { OpenPostgres } from '../../../stores/postgres/open.js'
import { PostgresSegments } from '../../../stores/postgres/segments.js'
import type { S3ByteStore } from '../../../stores/s3/byte-store.js'
import { s3Client } from '../../../stores/s3/client.js'
import { engineOf } from '../engine-on-disk.js'
import { brokenRows } from '../invariants.js'
import { type TestSchema, testSchema } from '../postgres.js'
import type { S3Server } from '../s3-server.js'
import { openS3Store } from '../s3-store.js'
import { CrashStage, type Life } from './crash-stage.js'
import type { Mortal } from './mortal.js'
import { mortalClient } from './mortal-client.js'
import { mortalPort } from './mortal-port.js'

const WRITES: readonly (keyof SegmentLedger & string)[] = ['add', 'addPart', 'close', 'seal', 'forget']
const LOOKS: readonly (keyof SegmentLedger & string)[] = [
  'subject',
  'parts',
  'writtenBy',
  'abandoned',
  'within',
  'has',
  'all',
  'known',
]

/** Both nodes on one prefix of a bucket. */
export class S3Stage extends CrashStage {
  readonly #server: S3Server
  readonly #prefix: string
  readonly #client: S3Client
  readonly #store: S3ByteStore

  private constructor(
    nodes: { readonly schema: TestSchema; readonly survivor: OpenPostgres; readonly mortal: OpenPostgres },
    server: S3Server,
    prefix: string,
    store: S3ByteStore,
  ) {
    super(nodes.schema, engineOf(nodes.survivor.registry, store), nodes.mortal)
    this.#server = server
    this.#prefix = prefix
    this.#client = s3Client({ endpoint: server.endpoint, region: null })
    this.#store = store
  }

  static async open(server: S3Server): Promise<S3Stage> {
    const schema = testSchema()
    const prefix = `crash-${randomUUID().slice(0, 8)}/`
    const survivor = await schema.open()
    const store = await openS3Store(server, survivor, { prefix })
    return new S3Stage({ schema, survivor, mortal: await schema.open() }, server, prefix, store)
  }

  /** That the bytes of rows are there shows when the uploads are read. */
  async expectInvariants(when: string): Promise<void> {
    expect(await brokenRows(this.schema), `invariants ${when}`).toEqual([])
  }

  async expectSwept(when: string): Promise<void> {
    await this.expectInvariants(when)
    expect(await this.#leftovers(), `leftovers ${when}`).toEqual([])
  }

  protected async begin(mortal: Mortal, postgres: OpenPostgres, registry: UploadRegistry): Promise<Life> {
    const life: { mortal: Mortal | null } = { mortal: null }
    const store = await openS3Store(this.#server, postgres, {
      prefix: this.#prefix,
      client: mortalClient(this.#client, life),
      ledger: mortalPort<SegmentLedger>(new PostgresSegments(postgres.database), mortal, WRITES, LOOKS),
    })
    life.mortal = mortal
    return { engine: engineOf(registry, store), ended: async () => undefined }
  }

  override async close(): Promise<void> {
    this.#store.close()
    this.#client.destroy()
    await super.close()
  }

  /** Objects and multipart uploads without a row, rows without either, what is doomed, and what nobody will end. */
  async #leftovers(): Promise<readonly string[]> {
    const rows = await this.schema.run<{ id: string; state: string; wanted: boolean }>(
      'select id, state, blob_id in (select target from $s.assemblies) is true as wanted from $s.segments',
    )
    const twice = await this.schema.run<{
      id: string
    }>(`select old.id from $s.segments old join $s.segments young
      on old.blob_id = young.blob_id and old.born < young.born and old.start >= young.start and old.stop <= young.stop`)
    const under = { Bucket: this.#server.bucket, Prefix: this.#prefix }
    const [{ Contents = [] }, { Uploads = [] }] = await Promise.all([
      this.#client.send(new ListObjectsV2Command(under)),
      this.#client.send(new ListMultipartUploadsCommand(under)),
    ])
    const idsIn = (found: readonly { readonly Key?: string | undefined }[]) =>
      found.map(({ Key = '' }) => Key.slice(Key.lastIndexOf('/') + 1))
    const [objects, uploads] = [idsIn(Contents), idsIn(Uploads)]
    const known = new Map(rows.map(({ id, state }) => [id, state]))
    return [
      ...rows
        .filter(({ state, wanted }) => state === 'doomed' || (state === 'closing' && !wanted))
        .map(({ id, state }) => `segment ${id} is ${state}`),
      ...twice.map(({ id }) => `segment ${id} is covered by a younger one`),
      ...objects.filter((id) => !known.has(id)).map((id) => `object ${id} has no row`),
      ...uploads.filter((id) => !known.has(id)).map((id) => `multipart upload ${id} has no row`),
      ...rows
        .filter(({ id, state }) => state === 'sealed' && !objects.includes(id))
        .map(({ id }) => `segment ${id} has no object`),
    ]
  }
}
