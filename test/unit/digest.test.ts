import { describe, expect, test } from 'vitest'
import {
  createHasher,
  type DigestAlgorithm,
  digestSize,
  digestsEqual,
  isDigestAlgorithm,
} from '../../src/upload/digest.js'

/**
 * Digests of "abc": FIPS 180-4 and FIPS 202 examples, RFC 1321, RFC 7693; the CRC is that of "123456789", the check
 * value of the CRC catalogues.
 */
const VECTORS: Record<DigestAlgorithm, { of: string; hex: string }> = {
  crc32: { of: '123456789', hex: 'cbf43926' },
  md5: { of: 'abc', hex: '900150983cd24fb0d6963f7d28e17f72' },
  sha1: { of: 'abc', hex: 'a9993e364706816aba3e25717850c26c9cd0d89d' },
  sha224: { of: 'abc', hex: '23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7' },
  sha256: { of: 'abc', hex: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad' },
  sha384: {
    of: 'abc',
    hex:
      'cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed' + '8086072ba1e7cc2358baeca134c825a7',
  },
  sha512: {
    of: 'abc',
    hex:
      'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a' +
      '2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
  },
  sha3_224: { of: 'abc', hex: 'e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf' },
  sha3_256: { of: 'abc', hex: '3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532' },
  sha3_384: {
    of: 'abc',
    hex:
      'ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b2' + '98d88cea927ac7f539f1edf228376d25',
  },
  sha3_512: {
    of: 'abc',
    hex:
      'b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e' +
      '10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0',
  },
  blake2b: {
    of: 'abc',
    hex:
      'ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1' +
      '7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923',
  },
  blake2s: { of: 'abc', hex: '508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982' },
}

const algorithms = Object.keys(VECTORS).filter(isDigestAlgorithm)

describe('createHasher', () => {
  test.each(algorithms)('computes the published %s, whole and byte by byte', (algorithm) => {
    const { of, hex } = VECTORS[algorithm]
    const whole = createHasher(algorithm)
    whole.update(Buffer.from(of))
    const bytewise = createHasher(algorithm)
    for (const byte of Buffer.from(of)) bytewise.update(Buffer.of(byte))

    const digest = whole.digest()
    expect(digest.algorithm).toBe(algorithm)
    expect(digest.bytes.toString('hex')).toBe(hex)
    expect(digest.bytes.length).toBe(digestSize(algorithm))
    expect(bytewise.digest().bytes.toString('hex')).toBe(hex)
  })

  test('knows the digest of nothing', () => {
    expect(createHasher('md5').digest().bytes.toString('hex')).toBe('d41d8cd98f00b204e9800998ecf8427e')
    expect(createHasher('crc32').digest().bytes.toString('hex')).toBe('00000000')
  })

  test('writes a CRC with leading zeros as four bytes', () => {
    const hasher = createHasher('crc32')
    hasher.update(Buffer.from('a1012'))
    expect(hasher.digest().bytes.toString('hex')).toBe('00068586')
  })
})

describe('isDigestAlgorithm', () => {
  test.each(['SHA1', 'sha-1', 'sha512-256', 'toString', '__proto__', ''])('refuses %j', (text) => {
    expect(isDigestAlgorithm(text)).toBe(false)
  })
})

describe('digestsEqual', () => {
  const digestOf = (algorithm: DigestAlgorithm, text: string) => {
    const hasher = createHasher(algorithm)
    hasher.update(Buffer.from(text))
    return hasher.digest()
  }

  test('compares algorithm, length and bytes', () => {
    expect(digestsEqual(digestOf('sha1', 'a'), digestOf('sha1', 'a'))).toBe(true)
    expect(digestsEqual(digestOf('sha1', 'a'), digestOf('sha1', 'b'))).toBe(false)
    expect(digestsEqual(digestOf('sha256', 'a'), digestOf('sha3_256', 'a'))).toBe(false)
    expect(digestsEqual(digestOf('sha1', 'a'), { algorithm: 'sha1', bytes: Buffer.from('short') })).toBe(
      false,
    )
    expect(
      digestsEqual(
        { algorithm: 'sha256', bytes: Buffer.alloc(32) },
        { algorithm: 'sha3_256', bytes: Buffer.alloc(32) },
      ),
    ).toBe(false)
  })
})
