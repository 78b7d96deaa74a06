import { Readable } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { assemble } from '../../src/upload/assemble.js'
import { createWithBody } from '../../src/upload/create.js'
import { AssemblyStage, type StageNode } from '../support/assembly-stage.js'
import { append, download, draft } from '../support/engine-on-disk.js'
import { expectInvariants } from '../support/invariants.js'
import { KeyedBytes } from '../support/keyed-bytes.js'
import { SmallDisk } from '../support/small-disk.js'

/** A disk that is full, injected at the file calls: it runs where nobody may mount one (see test/e2e). */

const KIB = 1024
const MIB = 1024 * KIB

let stage: AssemblyStage
let disk: SmallDisk
let node: StageNode

beforeEach(async () => {
  stage = await AssemblyStage.open()
  disk = new SmallDisk(Number.POSITIVE_INFINITY)
  node = await stage.node({ fs: disk.fs })
})

afterEach(async () => {
  await stage.close()
})

const bytes = new KeyedBytes('full', 3 * MIB).slice()

test('an append keeps what found room, and goes on when there is more', async () => {
  const { id } = await node.engine.registry.create(draft({ length: bytes.length }))
  disk.room = 700 * KIB
  await expect(append(node.engine, id, 0, [bytes])).rejects.toMatchObject({ code: 'storage_full' })
  const found = await node.engine.registry.find(id, null)
  expect(found).toMatchObject({ held: false, upload: { offset: 700 * KIB, status: 'in_progress' } })
  await expectInvariants(stage.schema, stage.blobs, 'on a full disk')
  disk.room = Number.POSITIVE_INFINITY
  await append(node.engine, id, 700 * KIB, [bytes.subarray(700 * KIB)])
  expect(bytes.equals(await download(node.engine, id))).toBe(true)
})

test('bytes that a sync could not place are not recorded, by no checkpoint either', async () => {
  const { id } = await node.engine.registry.create(draft({ length: 40 * MIB }))
  disk.failsWhenSynced = true
  const much = Array.from({ length: 40 }, () => bytes.subarray(0, MIB))
  await expect(append(node.engine, id, 0, much)).rejects.toMatchObject({ code: 'storage_full' })
  expect(await node.engine.registry.find(id, null)).toMatchObject({ upload: { offset: 0 } })
})

test('bytes that a sync could not place never become content', async () => {
  const { id } = await node.engine.registry.create(draft({ length: bytes.length }))
  disk.failsWhenSynced = true
  await expect(append(node.engine, id, 0, [bytes])).rejects.toMatchObject({ code: 'storage_full' })
  expect(await node.engine.registry.find(id, null)).toMatchObject({ upload: { offset: 0 } })
  disk.failsWhenSynced = false
  await append(node.engine, id, 0, [bytes])
  expect(bytes.equals(await download(node.engine, id))).toBe(true)
})

test.each([
  ['small', 900 * KIB, 300 * KIB],
  ['small', 900 * KIB, 0],
  ['large', 2 * MIB, 300 * KIB],
  ['large', 2 * MIB, 0],
])(
  'a creation with a %s body (%i bytes, room for %i) succeeds with what it kept',
  async (_size, body, room) => {
    disk.room = room
    const upload = await createWithBody(node.engine, draft({ length: bytes.length }), {
      source: Readable.from([bytes.subarray(0, body)], { objectMode: false }),
      announced: body,
      expected: null,
      signal: new AbortController().signal,
    })
    expect(upload).toMatchObject({ offset: room, status: 'in_progress' })
    await expectInvariants(stage.schema, stage.blobs, 'on a full disk')
    disk.room = Number.POSITIVE_INFINITY
    await append(node.engine, upload.id, room, [bytes.subarray(room)])
    expect(bytes.equals(await download(node.engine, upload.id))).toBe(true)
  },
)

test.each([0, 64 * KIB, 130 * KIB])(
  'an assembly that finds room for %i bytes is tried again',
  async (room) => {
    const made = await stage.waitingFinal(node, [100 * KIB, 150 * KIB])
    const whole = made.contents.get(made.final) ?? Buffer.alloc(0)
    disk.room = room
    expect(await assemble(node.engine)).toBe(true)
    expect(whole.equals(await download(node.engine, made.final))).toBe(true)
    await expectInvariants(stage.schema, stage.blobs, 'on a full disk')
    disk.room = Number.POSITIVE_INFINITY
    expect(await assemble(node.engine, made.final)).toBe(true)
    expect(whole.equals(await download(node.engine, made.final))).toBe(true)
    await stage.expectTidy(node, 'after the assembly')
  },
)
