import { createHash, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'

/**
 * The allow-list: our name, the size in bytes, and what node:crypto calls it. A client chooses among these names and
 * no others, since OpenSSL knows more than anybody should be offered. crc32 is node:zlib's.
 */
const ALGORITHMS = {
  crc32: { size: 4, openssl: null },
  md5: { size: 16, openssl: 'md5' },
  sha1: { size: 20, openssl: 'sha1' },
  sha224: { size: 28, openssl: 'sha224' },
  sha256: { size: 32, openssl: 'sha256' },
  sha384: { size: 48, openssl: 'sha384' },
  sha512: { size: 64, openssl: 'sha512' },
  sha3_224: { size: 28, openssl: 'sha3-224' },
  sha3_256: { size: 32, openssl: 'sha3-256' },
  sha3_384: { size: 48, openssl: 'sha3-384' },
  sha3_512: { size: 64, openssl: 'sha3-512' },
  blake2b: { size: 64, openssl: 'blake2b512' },
  blake2s: { size: 32, openssl: 'blake2s256' },
} as const satisfies Record<string, { size: number; openssl: string | null }>

export type DigestAlgorithm = keyof typeof ALGORITHMS

/** A digest as bytes; text forms (base64, hex) belong to the protocols. */
export interface Digest {
  readonly algorithm: DigestAlgorithm
  readonly bytes: Buffer
}

export function isDigestAlgorithm(text: string): text is DigestAlgorithm {
  return Object.hasOwn(ALGORITHMS, text)
}

/** Of whole files: the twelve of Python's hashlib that need no more than a name. crc32 is too weak for that. */
export type FileDigestAlgorithm = Exclude<DigestAlgorithm, 'crc32'>

export const FILE_ALGORITHMS = Object.keys(ALGORITHMS).filter(
  (name) => name !== 'crc32',
) as FileDigestAlgorithm[]

/** The algorithm of a name, in any case and with the hyphens OpenSSL has (`SHA-256`); null for any other text. */
export function fileAlgorithmNamed(text: string): FileDigestAlgorithm | null {
  const name = text
    .toLowerCase()
    .replace(/^sha-(?=\d)/, 'sha')
    .replace(/^sha3-/, 'sha3_')
  return FILE_ALGORITHMS.find((algorithm) => algorithm === name) ?? null
}

/** Bytes in a digest of this algorithm. */
export function digestSize(algorithm: DigestAlgorithm): number {
  return ALGORITHMS[algorithm].size
}

/** What node:crypto calls it; null for crc32, which is node:zlib's. */
export function opensslName(algorithm: DigestAlgorithm): string | null {
  return ALGORITHMS[algorithm].openssl
}

/** Verifies or computes a digest while bytes pass by. */
export interface Hasher {
  update(bytes: Buffer): void
  digest(): Digest
}

/** A hasher for one run of bytes; `digest` may be asked once, at the end. */
export function createHasher(algorithm: DigestAlgorithm): Hasher {
  const openssl = opensslName(algorithm)
  return openssl === null ? new Crc32Hasher() : new OpensslHasher(algorithm, openssl)
}

/** Whether two digests are the same, in a time that does not tell how many bytes agree. */
export function digestsEqual(a: Digest, b: Digest): boolean {
  if (a.algorithm !== b.algorithm || a.bytes.length !== b.bytes.length) return false
  return timingSafeEqual(a.bytes, b.bytes)
}

class OpensslHasher implements Hasher {
  readonly #algorithm: DigestAlgorithm
  readonly #hash: ReturnType<typeof createHash>

  constructor(algorithm: DigestAlgorithm, openssl: string) {
    this.#algorithm = algorithm
    this.#hash = createHash(openssl)
  }

  update(bytes: Buffer): void {
    this.#hash.update(bytes)
  }

  digest(): Digest {
    return { algorithm: this.#algorithm, bytes: this.#hash.digest() }
  }
}

/** The CRC of zlib, gzip and PNG, as four bytes with the most significant first, as tus servers send it. */
class Crc32Hasher implements Hasher {
  #value = 0

  update(bytes: Buffer): void {
    this.#value = crc32(bytes, this.#value)
  }

  digest(): Digest {
    const bytes = Buffer.alloc(digestSize('crc32'))
    bytes.writeUInt32BE(this.#value)
    return { algorithm: 'crc32', bytes }
  }
}
