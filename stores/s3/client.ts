import { S3Client } from '@aws-sdk/client-s3'

/** In ms. A provider that does not answer for so long is tried again, or does not get the bytes. */
const CONNECT_MS = 5_000
/** Between two bytes. Completing a large object may keep quiet for longer than anything else. */
const QUIET_MS = 60_000
/** Uploads are bounded by memory, downloads by their clients; a request that waits for a socket would time out. */
const SOCKETS = 10_000
const TRIES = 5

export interface S3Settings {
  /** Null: AWS. */
  readonly endpoint: string | null
  /** Null: what the SDK finds, or with an endpoint `us-east-1`, which other providers do not look at. */
  readonly region: string | null
}

/** A client as the store needs it. Credentials come from where the AWS SDK looks for them. */
export function s3Client({ endpoint, region }: S3Settings): S3Client {
  const named = region ?? (endpoint === null ? null : 'us-east-1')
  const client = new S3Client({
    ...(named !== null && { region: named }),
    // A bucket as a part of the host's name is what other providers often have no certificate or no DNS for.
    ...(endpoint !== null && { endpoint, forcePathStyle: true }),
    maxAttempts: TRIES,
    logger: QUIET,
    // Ours are sent where the provider takes them; the SDK's own come as trailers, which many refuse.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // To ask before each part whether it may be sent costs a round trip.
    expectContinueHeader: false,
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      socketTimeout: QUIET_MS,
      httpAgent: { maxSockets: SOCKETS, keepAlive: true },
      httpsAgent: { maxSockets: SOCKETS, keepAlive: true },
    },
  })
  // The checksum says what the SHA-256 of a signed body would say, at a fraction of its price.
  client.middlewareStack.add(
    (next) => (args) => {
      const { request } = args as { request?: { body?: unknown; headers?: Record<string, string> } }
      if (request?.headers !== undefined && request.body !== undefined && isUpload(request.body))
        request.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD'
      return next(args)
    },
    { step: 'build', name: 'unsignedBytes' },
  )
  return client
}

/** It would print what it also rejects with, among lines that are JSON. */
const ignore = () => undefined
const QUIET = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore }

/** Requests in XML are short and are signed. */
function isUpload(body: unknown): boolean {
  return typeof body === 'object' && body !== null
}
