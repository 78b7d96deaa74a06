import { S3Store } from '@tus/s3-store'
import { afterAll, afterEach, beforeAll, beforeEach, describe } from 'vitest'
import { TusByteStore } from '../../stores/tus/byte-store.js'
import { assembleContract } from '../contract/byte-store/assemble.js'
import { Fixture } from '../contract/byte-store/fixture.js'
import { readContract } from '../contract/byte-store/read.js'
import { writeContract } from '../contract/byte-store/write.js'
import { writeEndsEarlyContract } from '../contract/byte-store/write-ends-early.js'
import { lackOfS3, type S3Server, startS3 } from '../support/s3-server.js'

/** `receive` goes on in another blob; an assembly only ever has bytes of the same content to come upon. */
const LEFTOVERS = '@tus/s3-store keeps the last bytes of an upload that it removed (<id>.part)'

/** What README's table says of it: neither a list of blobs nor writing anywhere, and progress by 16 MiB. */
describe('TusByteStore over @tus/s3-store', () => {
  let server: S3Server
  const bytes = new Fixture(async () => ({
    store: new TusByteStore(
      new S3Store({
        s3ClientConfig: {
          ...{ bucket: server.bucket, endpoint: server.endpoint, region: 'us-east-1', forcePathStyle: true },
          credentials: {
            accessKeyId: server.env.AWS_ACCESS_KEY_ID ?? '',
            secretAccessKey: server.env.AWS_SECRET_ACCESS_KEY ?? '',
          },
        },
      }),
    ),
    lose: () => Promise.reject(new Error('it keeps its bytes to itself')),
    close: async () => undefined,
  }))

  beforeAll(async () => {
    server = await startS3()
  })
  afterAll(() => server?.stop())
  beforeEach(async ({ skip }) => {
    const lack = await lackOfS3()
    if (lack !== null) skip(lack)
    await bytes.begin()
  })
  afterEach(() => bytes.end())

  writeContract(bytes, LEFTOVERS)
  writeEndsEarlyContract(bytes)
  readContract(bytes)
  assembleContract(bytes, LEFTOVERS)
})
