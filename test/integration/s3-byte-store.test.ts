import { DeleteObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Blob } from '../../src/upload/blob.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import type { S3ByteStoreOptions } from '../../stores/s3/byte-store.js'
import { s3Client } from '../../stores/s3/client.js'
import {
  Fixture,
  MIB,
  NO_LIMIT,
  newBlob,
  nextTurn,
  type StoreUnderTest,
} from '../contract/byte-store/fixture.js'
import { noneStandsStillContract } from '../contract/byte-store/none-stands-still.js'
import { sideBySideContract } from '../contract/byte-store/side-by-side.js'
import { writeContract } from '../contract/byte-store/write.js'
import { writeEndsEarlyContract } from '../contract/byte-store/write-ends-early.js'
import { byteStoreContract } from '../contract/byte-store.js'
import { type TestSchema, testSchema } from '../support/postgres.js'
import { lackOfS3, type S3Server, startS3 } from '../support/s3-server.js'
import { openS3Store } from '../support/s3-store.js'
import { HandSource, pattern } from '../support/sources.js'

let server: S3Server
let schema: TestSchema
let postgres: OpenPostgres

beforeAll(async () => {
  server = await startS3()
  schema = testSchema()
  postgres = await schema.open()
  // Those under which the contract writes.
  await schema.run(
    `insert into $s.nodes (epoch, process, lease_until) overriding system value
     select n, '{}', now() + interval '1 day' from generate_series(1, 9) n on conflict do nothing`,
  )
})

afterAll(async () => {
  await schema?.drop()
  await server?.stop()
})

const lack = await lackOfS3()

if (lack === null) byteStoreContract('S3ByteStore', () => make(), { anyPosition: true, byteByByte: false })
else withS3rver(lack)

/** What it can do. */
function withS3rver(reason: string): void {
  describe('S3ByteStore on s3rver', () => {
    const bytes = new Fixture(make)
    beforeEach(() => bytes.begin())
    afterEach(() => bytes.end())
    writeContract(bytes)
    writeEndsEarlyContract(bytes)
    sideBySideContract(bytes)
    test('the rest of the contract', ({ skip }) => skip(reason))
  })
}

describe('memory for parts of more than one size', () => {
  const bytes = new Fixture(() => make({ waitingBytes: 40 * MIB }))
  beforeEach(() => bytes.begin())
  afterEach(() => bytes.end())

  noneStandsStillContract(bytes)

  test('a write that had gathered a part goes on when others left, as its parts may be larger now', async () => {
    const options = { limit: NO_LIMIT, fresh: true }
    const [leaving, staying] = [[1, 2, 3].map(() => new HandSource()), new HandSource()]
    const left = leaving.map((source) => bytes.store.write(newBlob(), 0, source, options))
    const stays = bytes.store.write(newBlob(), 0, staying, options)
    for (const source of leaving) source.end()
    await Promise.all(left.map(({ done }) => done))
    // More than one of the parts of 5 MiB that four make, less than one of 6.
    for (let count = 0; count < 11; count++) {
      staying.push(pattern(MIB / 2))
      await nextTurn()
    }
    staying.end()
    expect(await stays.done).toEqual({ stored: 5.5 * MIB, ended: 'end' })
  })
})

test('the S3 server is one there is', () => {
  console.log(`S3 server of the tests: ${server.name}`)
  expect(server.endpoint).toMatch(/^https?:/)
})

async function make(options: Partial<S3ByteStoreOptions> = {}): Promise<StoreUnderTest> {
  let epoch = 1
  const prefix = `c-${Math.random().toString(36).slice(2)}/`
  const store = await openS3Store(server, postgres, { epoch: () => epoch, prefix, ...options })
  return {
    store,
    lose: (blob) => lose(prefix, blob),
    under: (next) => {
      epoch = next
    },
    close: async () => store.close(),
  }
}

/** Removes the objects of a blob behind the back of the store. */
async function lose(prefix: string, blob: Blob): Promise<void> {
  const client = s3Client({ endpoint: server.endpoint, region: null })
  const { Contents = [] } = await client.send(
    new ListObjectsV2Command({ Bucket: server.bucket, Prefix: prefix }),
  )
  for (const { Key = '' } of Contents)
    if (Key.includes(blob.id)) await client.send(new DeleteObjectCommand({ Bucket: server.bucket, Key }))
  client.destroy()
}
