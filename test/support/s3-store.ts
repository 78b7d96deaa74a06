import type { OpenPostgres } from '../../stores/postgres/open.js'
import { PostgresSegments } from '../../stores/postgres/segments.js'
import { S3ByteStore, type S3ByteStoreOptions } from '../../stores/s3/byte-store.js'
import { s3Client } from '../../stores/s3/client.js'
import type { S3Server } from './s3-server.js'

const MIB = 1024 * 1024

/** A store in the bucket of the tests, with rows of `postgres`. Little memory, so that parts are as small as they may be. */
export async function openS3Store(
  server: Pick<S3Server, 'endpoint' | 'bucket'>,
  { database, registry }: Pick<OpenPostgres, 'database' | 'registry'>,
  options: Partial<S3ByteStoreOptions> = {},
): Promise<S3ByteStore> {
  const store = new S3ByteStore({
    client: s3Client({ endpoint: server.endpoint, region: null }),
    ledger: new PostgresSegments(database),
    epoch: () => registry.epoch,
    bucket: server.bucket,
    prefix: `t-${Math.random().toString(36).slice(2)}/`,
    waitingBytes: 10 * MIB,
    ...options,
  })
  await store.open()
  return store
}
