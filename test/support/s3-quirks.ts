import type { Quirk, S3Call } from './s3-proxy.js'

/** R2: all parts but the last have one length, and the last is no longer. Copied parts count. */
export function equalParts(): Quirk {
  const lengths = new Map<string, Map<number, number>>()
  return (call) => {
    const uploadId = call.query.get('uploadId') ?? ''
    const sizes = lengths.get(uploadId) ?? new Map<number, number>()
    lengths.set(uploadId, sizes)
    if (call.operation.startsWith('UploadPart'))
      sizes.set(Number(call.query.get('partNumber')), lengthOf(call))
    if (call.operation !== 'CompleteMultipartUpload') return undefined
    const all = [...sizes].sort(([a], [b]) => a - b).map(([, length]) => length)
    const [first = 0] = all
    const unequal = all.slice(0, -1).some((length) => length !== first) || (all.at(-1) ?? 0) > first
    return unequal ? { status: 400, code: 'InvalidPart' } : undefined
  }
}

function lengthOf({ headers }: S3Call): number {
  const range = /^bytes=(\d+)-(\d+)$/.exec(String(headers['x-amz-copy-source-range'] ?? ''))
  return range ? Number(range[2]) - Number(range[1]) + 1 : Number(headers['content-length'])
}

/** Ceph, OVH and others: neither checksums nor trailers. */
export const noChecksums: Quirk = ({ headers }) => {
  const refused = Object.keys(headers).some((name) => /^x-amz-(checksum-|trailer|sdk-checksum)/.test(name))
  return refused || String(headers['content-encoding'] ?? '').includes('aws-chunked')
    ? { status: 400, code: 'XAmzContentSHA256Mismatch' }
    : undefined
}

/** Scaleway: a part has a number up to 1,000. */
export function mostParts(most: number): Quirk {
  return ({ query }) =>
    Number(query.get('partNumber') ?? 0) > most ? { status: 400, code: 'InvalidArgument' } : undefined
}

/** No UploadPartCopy. */
export const noCopies: Quirk = ({ operation }) =>
  operation === 'UploadPartCopy' ? { status: 501, code: 'NotImplemented' } : undefined

/** Each so-many-th call has come too fast. */
export function slowDown(each: number): Quirk {
  let count = 0
  return () => (++count % each === 0 ? { status: 503, code: 'SlowDown' } : undefined)
}

/** The first tries to complete get a success whose body is an error, whether or not it was done. */
export function failedSuccess(times: number, forwarded: boolean): Quirk {
  let left = times
  return ({ operation }) =>
    operation === 'CompleteMultipartUpload' && left-- > 0
      ? { status: 200, code: 'InternalError', forwarded }
      : undefined
}
