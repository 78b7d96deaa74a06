import { createReadStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { downloadedDigest, head, offsetOf, send } from '../support/raw-tus.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { ServerGroup } from '../support/server-group.js'
import type { ServerProcess } from '../support/server-process.js'
import { MemoryUrlStorage, TusClient } from '../support/tus-client.js'

const MIB = 1024 * 1024

let group: ServerGroup
let server: ServerProcess

beforeAll(async () => {
  group = await ServerGroup.make()
  server = await group.start()
})

afterAll(() => group.end())

describe('tus-js-client uploads, byte for byte', () => {
  const content = seededBytes('options', 3 * MIB + 17)

  test.for([
    ['in one request', {}],
    ['with the first bytes in the creation', { uploadDataDuringCreation: true }],
    ['in chunks', { chunkSize: 700_000 }],
    ['in chunks, the first in the creation', { chunkSize: 700_000, uploadDataDuringCreation: true }],
    ['with POST for PATCH', { overridePatchMethod: true, chunkSize: MIB }],
    ['in 4 parts', { parallelUploads: 4 }],
    ['in 16 parts', { parallelUploads: 16 }],
    [
      'in 4 parts, in chunks, the first in the creation',
      {
        parallelUploads: 4,
        chunkSize: 200_000,
        uploadDataDuringCreation: true,
      },
    ],
    ['in 4 parts with POST for PATCH', { parallelUploads: 4, overridePatchMethod: true }],
  ] as const)('%s', async ([, options]) => {
    const client = new TusClient(content, { endpoint: server.endpoint, ...options })
    const upload = await client.run()
    expect(await downloadedDigest(upload)).toBe(sha256(content))
    expect(client.creations).toHaveLength('parallelUploads' in options ? options.parallelUploads : 1)
  })

  test.for([1, 4, 16])('a file, in %i parts', async (parallelUploads) => {
    const path = join(group.dataDir, `source-${parallelUploads}`)
    await writeFile(path, content)
    const client = new TusClient(createReadStream(path), { endpoint: server.endpoint, parallelUploads })
    expect(await downloadedDigest(await client.run())).toBe(sha256(content))
  })

  test('a stream of known length', async () => {
    const client = new TusClient(streamOf(content), {
      endpoint: server.endpoint,
      uploadSize: content.length,
      chunkSize: 500_000,
    })
    expect(await downloadedDigest(await client.run())).toBe(sha256(content))
  })

  test('a stream whose length nobody knows before its end', async () => {
    const client = new TusClient(streamOf(content), {
      endpoint: server.endpoint,
      uploadLengthDeferred: true,
      chunkSize: 500_000,
    })
    expect(await downloadedDigest(await client.run())).toBe(sha256(content))
  })
})

describe('small files', () => {
  test.for([
    [0, 1],
    [0, 4],
    [0, 16],
    [3, 4],
    [3, 16],
    [17, 16],
  ] as const)('%i bytes in %i parts', async ([length, parallelUploads]) => {
    const content = seededBytes('small', length)
    const client = new TusClient(content, { endpoint: server.endpoint, parallelUploads })
    const upload = await client.run()
    expect(await downloadedDigest(upload)).toBe(sha256(content))
    expect((await head(upload)).headers).toMatchObject({
      'upload-length': `${length}`,
      'upload-offset': `${length}`,
    })
  })
})

describe('what the client says about a file', () => {
  const NAMES = [
    'Übergröße ½.txt',
    'отчёт за год.pdf',
    '報告書.csv',
    'تقرير.txt',
    '🙂 "quoted"; x=1.bin',
    'a/../b\\c.txt',
  ]

  test.for(NAMES)('%s comes back, and names the download', async (filename) => {
    for (const parallelUploads of [1, 2]) {
      const client = new TusClient(seededBytes(filename, 99), {
        endpoint: server.endpoint,
        parallelUploads,
        metadata: { filename, filetype: 'text/plain', empty: '' },
      })
      const upload = await client.run()
      expect(metadataIn((await head(upload)).headers['upload-metadata'])).toEqual({
        filename,
        filetype: 'text/plain',
        empty: '',
      })
      const download = await send(upload)
      expect(download.status).toBe(200)
      const lastName = filename.replace(/^.*[/\\]/, '')
      expect(nameIn(download.headers['content-disposition'])).toBe(lastName)
    }
  })

  test('metadata for parts stays with the parts', async () => {
    const client = new TusClient(seededBytes('metadata', 1000), {
      endpoint: server.endpoint,
      parallelUploads: 2,
      metadata: { filename: 'whole' },
      metadataForPartialUploads: { filename: 'part' },
    })
    const upload = await client.run()
    expect(metadataIn((await head(upload)).headers['upload-metadata'])).toEqual({ filename: 'whole' })
    for (const part of client.creations) {
      const url = new URL(part.location, server.endpoint).href
      expect(metadataIn((await head(url)).headers['upload-metadata'])).toEqual({ filename: 'part' })
    }
  })

  test('request ids come back', async () => {
    const client = new TusClient(seededBytes('ids', 1000), { endpoint: server.endpoint, addRequestId: true })
    await client.run()
    expect(client.exchanges.length).toBeGreaterThan(1)
    for (const { requestId, answeredId } of client.exchanges) expect(answeredId).toBe(requestId)
  })
})

describe('a client that comes back', () => {
  const content = seededBytes('resumed', 8 * MIB)

  test.for([1, 4])('goes on where it was, in %i parts', async (parallelUploads) => {
    const urlStorage = new MemoryUrlStorage()
    const options = { endpoint: server.endpoint, parallelUploads, urlStorage, chunkSize: MIB / 2 }
    await abortedHalfway(content, options)

    const second = new TusClient(content, options)
    expect(await second.resume()).toBe(true)
    const upload = await second.run()
    expect(second.creations).toHaveLength(0)
    expect(second.resumedAt).toBeGreaterThan(0)
    expect(await downloadedDigest(upload)).toBe(sha256(content))
  })

  test.for([1, 4])('to a file that is complete finds it so, in %i parts', async (parallelUploads) => {
    const urlStorage = new MemoryUrlStorage()
    const options = { endpoint: server.endpoint, parallelUploads, urlStorage }
    const first = await new TusClient(content, options).run()
    const again = new TusClient(content, options)
    expect(await again.resume()).toBe(true)
    expect(await again.run()).toBe(first)
    expect(again.exchanges.map(({ method }) => method)).not.toContain('PATCH')
  })

  test('to a file of which it was told to take everything back starts anew', async () => {
    const urlStorage = new MemoryUrlStorage()
    const options = { endpoint: server.endpoint, urlStorage, chunkSize: MIB }
    const url = await abortedHalfway(content, options, true)
    expect((await head(url)).status).toBe(404)
    const second = new TusClient(content, options)
    expect(await second.resume()).toBe(false)
    expect(await downloadedDigest(await second.run())).toBe(sha256(content))
  })
})

test('the same final again is the same upload', async () => {
  const client = new TusClient(seededBytes('again', MIB), {
    endpoint: server.endpoint,
    parallelUploads: 4,
    metadata: { filename: 'again' },
  })
  const upload = await client.run()
  const [final] = client.finals
  for (let round = 0; round < 3; round++) {
    const answer = await send(server.endpoint, {
      method: 'POST',
      headers: { 'Upload-Concat': final?.concat ?? '', 'Upload-Metadata': final?.metadata ?? '' },
    })
    expect(answer.status).toBe(201)
    expect(new URL(answer.headers.location ?? '', server.endpoint).href).toBe(upload)
  }
  expect(await offsetOf(upload)).toBe(MIB)
})

type Options = ConstructorParameters<typeof TusClient>[1]

/** Stops a client in the middle; gives the URL it had (for parts, none). */
async function abortedHalfway(content: Buffer, options: Options, terminate = false): Promise<string> {
  const client = new TusClient(content, options)
  void client.run()
  await client.hasSent(content.length / 2)
  const { url } = client.upload
  await client.upload.abort(terminate)
  return url ?? ''
}

function streamOf(content: Buffer): Readable {
  const pieces = Array.from({ length: Math.ceil(content.length / 65_536) }, (_, index) =>
    content.subarray(index * 65_536, (index + 1) * 65_536),
  )
  return Readable.from(pieces, { objectMode: false })
}

function metadataIn(header: string | string[] | undefined): Record<string, string> {
  const pairs = String(header ?? '').split(',')
  return Object.fromEntries(
    pairs.map((pair) => {
      const [key = '', value = ''] = pair.trim().split(' ')
      return [key, Buffer.from(value, 'base64').toString('utf8')]
    }),
  )
}

/** RFC 6266: the extended form, which is there whenever the plain one cannot say it, wins. */
function nameIn(header: string | undefined): string {
  const extended = /filename\*=UTF-8''([^;]+)/i.exec(header ?? '')?.[1]
  if (extended !== undefined) return decodeURIComponent(extended)
  return (/filename="((?:[^"\\]|\\.)*)"/i.exec(header ?? '')?.[1] ?? '').replaceAll(/\\(.)/g, '$1')
}
