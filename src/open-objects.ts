import type { Database } from '../stores/postgres/database.js'
import { PostgresSegments } from '../stores/postgres/segments.js'
import type { ObjectHeaders, S3ByteStore } from '../stores/s3/main.js'
import { blaming, StartFailure, starting } from './command/failure.js'
import type { ObjectsConfig } from './config.js'
import { contentDisposition } from './http/disposition.js'
import { mediaTypeOr } from './http/media-type.js'
import { parseMetadata, typeOf } from './tus/metadata.js'
import { isUploadError } from './upload/errors.js'
import type { Subject } from './upload/segment.js'

const MIB = 1024 * 1024
/** Bytes of uploads that the processes of this server hold in memory together, and one of them at least. */
const MOST_WAITING = 64 * MIB
const LEAST_WAITING = 24 * MIB

/** Opens the bucket that S3_BUCKET names. The SDK is loaded here only: who keeps bytes on a disk needs none. */
export async function openObjects(
  objects: ObjectsConfig,
  {
    database,
    epoch,
    processes,
  }: { readonly database: Database; readonly epoch: () => number; readonly processes: number },
): Promise<S3ByteStore> {
  const { S3ByteStore, s3Client } = await import('../stores/s3/main.js').catch((cause: unknown) => {
    throw new StartFailure('STORE=s3 needs the AWS SDK: npm install @aws-sdk/client-s3', { cause })
  })
  const { bucket, prefix, maxParts } = objects
  const store = new S3ByteStore({
    client: s3Client(objects),
    ...{ bucket, prefix, maxParts, epoch, headersOf },
    waitingBytes: Math.max(LEAST_WAITING, Math.floor(MOST_WAITING / processes)),
    ledger: new PostgresSegments(database),
  })
  await starting(null, () =>
    store.open().catch((error: unknown) => {
      throw forWhoeverStarts(error, bucket)
    }),
  )
  return store
}

/** The database says for itself what it lacks; what the storage says to clients tells nothing here, but its cause does. */
function forWhoeverStarts(error: unknown, bucket: string): unknown {
  if (!isUploadError(error) || error.code === 'registry_unavailable') return error
  const cause = error.cause ?? error
  return blaming(subjectOf(cause, bucket), cause)
}

/** The setting to blame, by what the SDK calls the error, or says of it. */
function subjectOf(error: unknown, bucket: string): string {
  if (!(error instanceof Error) || isUploadError(error)) return `S3_BUCKET: ${bucket} cannot be used`
  if (error.message === 'Region is missing') return 'S3_REGION: S3 cannot be reached without'
  if (CREDENTIALS.has(error.name)) return 'AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: S3 does not let us in'
  if (!('$fault' in error)) return 'S3_ENDPOINT: S3 cannot be reached'
  return `S3_BUCKET: ${bucket} cannot be used`
}

const CREDENTIALS = new Set([
  'CredentialsProviderError',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'ExpiredToken',
  'InvalidToken',
])

/** What is downloaded past this server has its name and type all the same. */
export function headersOf({ filename, metadata }: Subject): ObjectHeaders {
  return {
    contentType: mediaTypeOr(typeOf(parseMetadata(metadata ?? undefined))),
    contentDisposition: contentDisposition('attachment', filename),
    ...(metadata !== null && metadata.length <= MOST_METADATA && { metadata: { tus: metadata } }),
  }
}

/** S3 takes 2 KB in all, names included. */
const MOST_METADATA = 1_900
