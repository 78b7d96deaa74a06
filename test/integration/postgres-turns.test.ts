import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { makeEngine } from '../../src/upload/engine.js'
import { UploadError } from '../../src/upload/errors.js'
import { silent } from '../../src/upload/log.js'
import type { Assembly, Publisher } from '../../src/upload/ports.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import type { CuttingProxy } from '../support/cutting-proxy.js'
import { openDatabaseProxy } from '../support/database-proxy.js'
import { draft, finalOf } from '../support/engine-on-disk.js'
import { MemoryByteStore } from '../support/memory-byte-store.js'
import { type TestSchema, testSchema } from '../support/postgres.js'

const DIGEST = { algorithm: 'md5', bytes: Buffer.alloc(16, 1) } as const
const UNAVAILABLE = { code: 'registry_unavailable' }

let schema: TestSchema
let proxy: CuttingProxy
let node: OpenPostgres
/** The epoch all turns here are taken under: a lease that was lost would give them all away. */
let epoch: number

beforeEach(async () => {
  schema = testSchema()
  const opened = await openDatabaseProxy()
  proxy = opened.proxy
  node = await schema.open({ connection: opened.database })
  epoch = node.registry.epoch
})

afterEach(async () => {
  vi.useRealTimers()
  await schema.drop()
  await proxy.close()
})

test('a publication that could not be given back is nobody’s once it is old', async () => {
  const id = await finished()
  await whileAway(() => expect(node.registry.leavePublication(id)).rejects.toMatchObject(UNAVAILABLE))
  await node.dropOrphans()
  expect(await node.registry.unpublished(10)).toEqual([])
  await age('publications')
  await node.dropOrphans()
  expect(await node.registry.unpublished(10)).toEqual([id])
  expect(node.registry.epoch).toBe(epoch)
})

test('who fails to publish gives its turn back as soon as the database is there again', async () => {
  const id = await finished()
  let back = Promise.resolve()
  const publisher = {
    prepare: () => {
      const ending = away()
      back = new Promise((resolve) => setTimeout(() => resolve(ending()), 1_500))
      return Promise.reject(new UploadError('storage_failed', 'The disk is away.'))
    },
  } as unknown as Publisher
  const policy = { maxSize: null, assembly: 'never' } as const
  const { registry } = node
  const engine = makeEngine({ registry, bytes: new MemoryByteStore(), log: silent, policy, publisher })
  await expect(engine.publishing.publish(id)).rejects.toMatchObject({ code: 'storage_failed' })
  await back
  expect(await registry.unpublished(10)).toEqual([id])
  expect(registry.epoch).toBe(epoch)
})

test('an assembly that could not be given back is nobody’s once it is old', async () => {
  const assembly = await assembling()
  await whileAway(() => expect(node.registry.abandonAssembly(assembly)).rejects.toMatchObject(UNAVAILABLE))
  await age('assemblies')
  await node.dropOrphans()
  expect(await node.registry.takeAssembly()).toMatchObject({ uploadId: assembly.uploadId })
  expect(node.registry.epoch).toBe(epoch)
})

test('an assembly whose end could not be recorded stays with whoever tries that again', async () => {
  const assembly = await assembling()
  await whileAway(() => expect(node.registry.finishAssembly(assembly)).rejects.toMatchObject(UNAVAILABLE))
  await age('assemblies')
  await node.dropOrphans()
  expect(await node.registry.finishAssembly(assembly)).toMatchObject({ upload: { id: assembly.uploadId } })
})

test('the turn for a digest that could not be given back is nobody’s once it is old', async () => {
  const { id, token } = await hashing()
  await whileAway(() => expect(node.registry.leaveDigest(id, token)).rejects.toMatchObject(UNAVAILABLE))
  await age('digests')
  await node.dropOrphans()
  const other = await schema.open()
  expect(await other.registry.takeDigest(id, 'md5')).toMatchObject({ outcome: 'ours' })
  expect(node.registry.epoch).toBe(epoch)
})

test('a digest that could not be noted stays with whoever tries that again, and with nobody else', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const [noted, dropped] = [await hashing(), await hashing()]
  await whileAway(async () => {
    for (const { id, token } of [noted, dropped]) {
      await expect(node.registry.noteDigest(id, token, DIGEST)).rejects.toMatchObject(UNAVAILABLE)
    }
  })
  await age('digests')
  await node.dropOrphans()
  expect(await node.registry.noteDigest(noted.id, noted.token, DIGEST)).toBe(true)
  const other = await schema.open()
  expect(await other.registry.takeDigest(dropped.id, 'md5')).toEqual({ outcome: 'elsewhere' })
  vi.advanceTimersByTime(31_000)
  await node.dropOrphans()
  expect(await other.registry.takeDigest(dropped.id, 'md5')).toMatchObject({ outcome: 'ours' })
  expect(node.registry.epoch).toBe(epoch)
})

/** From now on connections break at their first byte. Returns what ends that. */
function away(): () => void {
  proxy.follow(() => ({ at: { sent: 1 }, how: 'rst' }))
  proxy.cutAll('rst')
  return () => proxy.follow(() => null)
}

/** Short enough for the lease to outlive it. */
async function whileAway(work: () => Promise<unknown>): Promise<void> {
  const back = away()
  try {
    await work()
  } finally {
    back()
  }
}

/** Makes what was taken so old that it is an orphan's, unless somebody here has it. */
async function age(table: 'publications' | 'assemblies' | 'digests'): Promise<void> {
  await schema.run(`update $s.${table} set taken_at = clock_timestamp() - interval '61 seconds'`)
}

/** An upload that is to be published by whoever finished it. */
async function finished(): Promise<string> {
  const { id, owner, protocol } = await node.registry.create(
    draft({ id: randomUUID(), protocol: 'frago', filename: 'a.txt' }),
  )
  await node.registry.complete({ id, owner, protocol, digest: null, token: null, publishAs: 'a.txt' })
  return id
}

async function hashing(): Promise<{ readonly id: string; readonly token: number }> {
  const { id } = await node.registry.create(draft({ protocol: 'frago' }))
  const turn = await node.registry.takeDigest(id, 'md5')
  if (turn?.outcome !== 'ours') throw new Error(`the turn is ${turn?.outcome}`)
  return { id, token: turn.token }
}

/** A final of two parts, taken to be assembled. */
async function assembling(): Promise<Assembly> {
  const { id } = await node.registry.create(draft({ kind: 'partial', length: 2 }))
  const range = { start: 0, stop: null, declaredLength: null }
  const claim = await node.registry.claim({ id, owner: null, protocol: 'tus', ...range })
  if (claim === null) throw new Error('held')
  await node.registry.record(claim, 2)
  await node.registry.concatenate(finalOf([id, id]))
  const assembly = await node.registry.takeAssembly()
  if (assembly === null) throw new Error('nothing to assemble')
  return assembly
}
