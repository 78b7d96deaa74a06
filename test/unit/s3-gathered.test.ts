import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BLOCK_BYTES, Blocks } from '../../stores/s3/blocks.js'
import { Gathered, type Taken } from '../../stores/s3/gathered.js'

const MIB = 1024 * 1024

const step = fc.oneof(
  fc.record({ does: fc.constant('add' as const), bytes: fc.nat(2 * BLOCK_BYTES) }),
  fc.record({ does: fc.constant('take' as const), bytes: fc.nat(3 * BLOCK_BYTES) }),
  fc.record({ does: fc.constant('done' as const), bytes: fc.nat(5) }),
)

/** Different for each position: a byte at the wrong place is seen. */
function bytesFrom(position: number, length: number): Buffer {
  return Buffer.from(
    Uint32Array.from({ length: Math.ceil(length / 4) }, (_, i) => position + i).buffer,
  ).subarray(0, length)
}

test('what two writes gather and take stays as it came, until it is done with, and blocks are used again', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(1), step), { maxLength: 60 }), (steps) => {
      const blocks = new Blocks(MIB)
      const writes = [0, 1].map(() => ({ gathered: new Gathered(blocks), due: Buffer.alloc(0) }))
      const taken: { due: Buffer; of: Taken }[] = []
      for (const [index, [which, { does, bytes }]] of steps.entries()) {
        const write = writes[which]
        if (write === undefined) throw new Error('there are two')
        if (does === 'add') {
          const came = bytesFrom(index * MIB, bytes)
          write.gathered.add(came)
          write.due = Buffer.concat([write.due, came])
        } else if (does === 'take') {
          const length = Math.min(bytes, write.gathered.length)
          const of = write.gathered.take(length)
          expect(of.body.length).toBe(length)
          taken.push({ due: write.due.subarray(0, length), of })
          write.due = write.due.subarray(length)
        } else taken.splice(bytes, 1)[0]?.of.done()
        for (const { due, of } of taken) expect(Buffer.concat(of.body.pieces).equals(due)).toBe(true)
        for (const { gathered, due } of writes) expect(gathered.length).toBe(due.length)
      }
    }),
  )
})

test('a block is used again, but not one that a failed request may still read, nor one whose rest is waiting', () => {
  const blocks = new Blocks(MIB)
  const gathered = new Gathered(blocks)
  const take = (length: number): Taken => {
    gathered.add(Buffer.alloc(length, 1))
    return gathered.take(length)
  }
  take(2 * BLOCK_BYTES).done()
  expect(blocks.free).toBe(2)
  const failed = take(2 * BLOCK_BYTES)
  expect(blocks.free).toBe(0)
  failed.body.failed?.()
  failed.done()
  expect(blocks.free).toBe(0)
  gathered.add(Buffer.alloc(BLOCK_BYTES, 1))
  gathered.take(BLOCK_BYTES - 1).done()
  gathered.take(1).done()
  expect(blocks.free).toBe(0)
  // A last block that is not full is one, too.
  take(BLOCK_BYTES + 1).done()
  expect(blocks.free).toBe(2)
})

test('few bytes need no block', () => {
  const blocks = new Blocks(MIB)
  const gathered = new Gathered(blocks)
  gathered.add(Buffer.alloc(BLOCK_BYTES - 1, 1))
  gathered.take(BLOCK_BYTES - 1).done()
  expect(blocks.free).toBe(0)
})

test('no more are kept for use than may be in use', () => {
  const blocks = new Blocks(MIB)
  blocks.giveBack(Array.from({ length: 20 }, () => Buffer.alloc(BLOCK_BYTES)))
  expect(blocks.free).toBe(16)
})
