import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { receive } from '../../src/upload/receive.js'
import { TusByteStore } from '../../stores/tus/byte-store.js'
import { AppendingStore } from '../support/appending-store.js'
import { append, download, draft, engineOf } from '../support/engine-on-disk.js'
import { MemoryDatabase } from '../support/memory-registry.js'

test('an upload goes on after bytes whose checksum did not fit, where nothing can be written over', async () => {
  const registry = new MemoryDatabase().node()
  const engine = engineOf(registry, new TusByteStore(new AppendingStore()))
  const upload = await registry.create(draft({ length: 10 }))
  await append(engine, upload.id, 0, [Buffer.from('0123')])
  const checked = (text: string, said: string, after: boolean) => {
    const digest = { algorithm: 'sha1' as const, bytes: createHash('sha1').update(said).digest() }
    return receive(engine, {
      ...{ id: upload.id, owner: null, protocol: 'tus', start: 4, declaredLength: null, maxSize: null },
      ...{ source: Readable.from([Buffer.from(text)]), announced: text.length },
      expected: after ? { after: () => digest } : { before: digest },
      signal: new AbortController().signal,
    })
  }
  await expect(checked('xyz', 'abc', false)).rejects.toMatchObject({ code: 'checksum_mismatch' })
  // By a trailer: what came is read back, and takes nothing more since.
  await expect(checked('xyz', 'abc', true)).rejects.toMatchObject({ code: 'checksum_mismatch' })
  expect(await checked('456', '456', true)).toMatchObject({ stored: 3 })
  const { completed } = await append(engine, upload.id, 7, [Buffer.from('789')])
  expect(completed).toBe(true)
  expect(String(await download(engine, upload.id))).toBe('0123456789')
})
