import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytesOf, checksumOf, divided, streamOf } from '../../stores/s3/bytes.js'
import { collect } from '../support/sources.js'

const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 9 }).map((bytes) => Buffer.from(bytes)))

test('bytes are divided anywhere, without a copy, and nothing is lost', () => {
  fc.assert(
    fc.property(pieces, fc.nat(60), (given, wanted) => {
      const bytes = bytesOf(given)
      const first = Math.min(wanted, bytes.length)
      const [head, tail] = divided(bytes, first)
      const all = Buffer.concat(given)
      expect(Buffer.concat(head.pieces).equals(all.subarray(0, first))).toBe(true)
      expect(Buffer.concat(tail.pieces).equals(all.subarray(first))).toBe(true)
      expect([head.length, tail.length]).toEqual([first, bytes.length - first])
    }),
  )
})

test('their checksum is that of all of them, and a stream gives them in order', async () => {
  const bytes = bytesOf([Buffer.from('123'), Buffer.from('456789')])
  // The check value of CRC-32.
  expect(Buffer.from(checksumOf(bytes), 'base64').toString('hex')).toBe('cbf43926')
  expect(crc32('123456789')).toBe(0xcbf43926)
  expect(String(await collect(streamOf(bytes)))).toBe('123456789')
})
