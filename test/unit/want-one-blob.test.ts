import { expect, test } from 'vitest'
import { assemble } from '../../src/upload/assemble.js'
import { create } from '../../src/upload/create.js'
import { wantOneBlob } from '../../src/upload/want-one-blob.js'
import { draft, stored, World } from '../support/use-cases.js'

test('a complete upload that lies in several places is assembled; another, a part, or one on a disk is not', async () => {
  const a = new World().process()
  const upload = await stored(a, 'hello')
  const part = await stored(a, 'part', { kind: 'partial' })
  const unfinished = await create(a.engine, draft({ length: 9 }))
  expect(await wantOneBlob(a.engine, upload)).toBe(false)
  let scattered = false
  Object.assign(a.engine.bytes, { isScattered: async () => scattered })
  expect(await wantOneBlob(a.engine, upload)).toBe(false)
  scattered = true
  for (const other of [part, unfinished]) expect(await wantOneBlob(a.engine, other)).toBe(false)
  expect(await assemble(a.engine)).toBe(false)
  expect(await wantOneBlob(a.engine, upload)).toBe(true)
  expect(await assemble(a.engine)).toBe(true)
  expect(a.told).toContain('upload_assembled whole')
})
