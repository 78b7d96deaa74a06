import { RequestError } from '../http/errors.js'
import { createHasher, type Digest, digestSize, digestsEqual, isDigestAlgorithm } from '../upload/digest.js'
import { UploadError } from '../upload/errors.js'
import type { ExpectedDigest } from '../upload/receive.js'
import type { Exchange } from './exchange.js'

/** In the order they are offered. tus 1.0.0: "The Server MUST support at least the SHA1 checksum algorithm". */
const OFFERED = [
  'sha1',
  'md5',
  'sha256',
  'sha512',
  'crc32',
  'sha384',
  'sha224',
  'sha3_256',
  'sha3_512',
  'blake2b',
]

export function checksumAlgorithms(): readonly string[] {
  return OFFERED.filter(isDigestAlgorithm)
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Parses Upload-Checksum: an algorithm, a space, and the digest in base64. */
export function parseChecksum(text: string): Digest {
  const [algorithm = '', encoded = '', ...more] = text.split(' ')
  if (!isDigestAlgorithm(algorithm)) {
    throw new RequestError(
      'checksum_unsupported',
      `The algorithm of Upload-Checksum must be one of ${checksumAlgorithms().join(', ')}.`,
    )
  }
  const bytes = Buffer.from(encoded, 'base64')
  if (more.length > 0 || !BASE64.test(encoded) || bytes.length !== digestSize(algorithm)) {
    throw new RequestError(
      'invalid_checksum',
      `Upload-Checksum must be ${algorithm}, a space, and ${digestSize(algorithm)} bytes in base64.`,
    )
  }
  return { algorithm, bytes }
}

/**
 * What the body of a request must hash to, or null when it need not be checked. Parsed before anything is claimed,
 * so that a bad header costs nothing; a trailer is parsed when it has come.
 */
export function expectedDigest(exchange: Exchange): ExpectedDigest | null {
  const header = exchange.headers['upload-checksum']
  const trailing = announcesTrailer(exchange.headers.trailer)
  if (header !== undefined && trailing) {
    throw new RequestError(
      'invalid_checksum',
      'Upload-Checksum must come as a header or as a trailer, not as both.',
    )
  }
  if (header !== undefined) return { before: parseChecksum(String(header)) }
  if (!trailing) return null
  if (exchange.headers['content-length'] !== undefined || exchange.body === null) {
    throw new RequestError('invalid_checksum', 'A trailer can follow only a body that is sent chunked.')
  }
  const { body } = exchange
  return { after: () => trailingDigest(body.trailer('upload-checksum')) }
}

function announcesTrailer(header: string | undefined): boolean {
  const names = (header ?? '').split(',').map((name) => name.trim().toLowerCase())
  return names.includes('upload-checksum')
}

function trailingDigest(text: string | undefined): Digest {
  if (text !== undefined) return parseChecksum(text)
  throw new RequestError('invalid_checksum', 'The trailer Upload-Checksum was announced, but did not come.')
}

/** Checks a request without a body: its checksum is that of no bytes. */
export function checkEmpty(expected: ExpectedDigest | null): void {
  if (expected === null) return
  const digest = 'before' in expected ? expected.before : expected.after()
  if (digestsEqual(createHasher(digest.algorithm).digest(), digest)) return
  throw new UploadError('checksum_mismatch', `The ${digest.algorithm} checksum is not that of an empty body.`)
}
