import { createHash, randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { silent } from '../../src/upload/log.js'
import { PrefixDigests, WORTH_FOLLOWING } from '../../src/upload/prefix-digests.js'
import type { Upload } from '../../src/upload/upload.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import { MemoryByteStore } from '../support/memory-byte-store.js'
import { type TestSchema, testSchema } from '../support/postgres.js'
import { seededBytes } from '../support/seeded.js'

const HALF = WORTH_FOLLOWING / 2
/** Longer than any test. */
const HOUR = 60 * 60 * 1000

let schema: TestSchema

beforeEach(() => {
  schema = testSchema()
})

afterEach(() => schema.drop())

test('who rests looks at once when another node waits for the digest', async () => {
  const [a, b] = [await schema.open(), await schema.open()]
  const bytes = new CountedBytes()
  const ours = digestsOn(a, bytes)
  const theirs = digestsOn(b, bytes)
  const content = seededBytes('on two nodes', WORTH_FOLLOWING)
  const { id } = await a.registry.create(draft())
  const first = await chunk(a, bytes, id, 0, content.subarray(0, HALF))
  ours.follow(first, 'md5')
  await expect.poll(() => schema.run('select from $s.digests')).toHaveLength(1)
  const whole = await chunk(b, bytes, id, HALF, content.subarray(HALF))
  const { digest, token } = await theirs.digest(whole, 'md5')
  expect(digest.bytes).toEqual(createHash('md5').update(content).digest())
  expect(token).toBeNull()
  expect(bytes.reads).toBe(WORTH_FOLLOWING)
})

test('a complete upload has its digest, and no row of it besides', async () => {
  const { registry } = await schema.open()
  const { id, owner, protocol } = await registry.create({ ...draft(), length: 0 })
  const turn = await registry.takeDigest(id, 'md5')
  if (turn?.outcome !== 'ours') throw new Error(`the turn is ${turn?.outcome}`)
  const digest = { algorithm: 'md5', bytes: createHash('md5').digest() } as const
  await registry.complete({ id, owner, protocol, digest, token: turn.token, publishAs: null })
  expect(await schema.run('select from $s.digests')).toEqual([])
  expect(await registry.takeDigest(id, 'md5')).toEqual({ outcome: 'known', digest })
  expect(await schema.run('select from $s.digests')).toEqual([])
})

/** A store that says how many bytes were read. */
class CountedBytes extends MemoryByteStore {
  reads = 0

  override read(...[blob, start, stop]: Parameters<MemoryByteStore['read']>): Readable {
    this.reads += stop - start
    return super.read(blob, start, stop)
  }
}

function digestsOn({ registry }: OpenPostgres, bytes: MemoryByteStore): PrefixDigests {
  const looks = { first: HOUR, last: HOUR }
  const digests = new PrefixDigests({ registry, bytes, log: silent, limits: { looks } })
  onTestFinished(() => digests.close())
  return digests
}

function draft() {
  return {
    id: randomUUID(),
    owner: null,
    kind: 'whole',
    protocol: 'frago',
    length: WORTH_FOLLOWING,
    metadata: null,
    filename: null,
  } as const
}

async function chunk(
  { registry }: OpenPostgres,
  bytes: MemoryByteStore,
  id: string,
  start: number,
  content: Buffer,
): Promise<Upload> {
  const stop = start + content.length
  const claim = await registry.claim({
    id,
    owner: null,
    protocol: 'frago',
    start,
    stop,
    declaredLength: null,
  })
  if (claim === null) throw new Error('held')
  const source = Readable.from([content], { objectMode: false })
  await bytes.write(claim.blob, claim.blobOffset, source, { limit: content.length, fresh: claim.fresh }).done
  return (await registry.record(claim, stop)).upload
}
