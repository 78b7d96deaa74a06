import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { assemble } from '../../src/upload/assemble.js'
import { concatenate } from '../../src/upload/concatenate.js'
import { sweep } from '../../src/upload/sweep.js'
import { terminate } from '../../src/upload/terminate.js'
import { AssemblyStage, type StageNode } from '../support/assembly-stage.js'
import { awayOnce } from '../support/away-once.js'
import { append, download, draft, finalOf } from '../support/engine-on-disk.js'
import { holdMaking, holdWrite } from '../support/held-calls.js'
import { expectInvariants } from '../support/invariants.js'
import { KeyedBytes } from '../support/keyed-bytes.js'

/** What may happen to a final and its parts while one file is made of it: on a real database and a real disk. */

const KIB = 1024

let stage: AssemblyStage
let node: StageNode

beforeEach(async () => {
  stage = await AssemblyStage.open()
  node = await stage.node()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await stage.close()
})

describe('while the copy is made', () => {
  /** Starts an assembly on a node of its own, and holds it at its second block. */
  async function heldAssembly(lengths: readonly number[]) {
    const made = await stage.waitingFinal(node, lengths)
    const held = holdWrite(2)
    const slow = await stage.node({ fs: held.fs })
    const done = assemble(slow.engine)
    await held.reached
    const finish = () => {
      held.release()
      return done
    }
    return { made, slow, finish }
  }

  test.each(['deleted', 'expired'])('a part may be %s', async (how) => {
    const { made, finish } = await heldAssembly([100 * KIB, 150 * KIB])
    const [part = ''] = made.parts
    if (how === 'deleted') await terminate(node.engine, part, null)
    else await stage.schema.run(`update $s.uploads set expires_at = clock_timestamp() where id = '${part}'`)
    await sweep(node.engine)
    expect(await finish()).toBe(true)
    await stage.expectContents(node, made, [part])
    expect(await stage.blobsOf(made.final)).toHaveLength(1)
    expect(await stage.blobsOf(part)).toEqual([])
    await stage.expectTidy(node, 'after the assembly')
  })

  test('every part may be deleted', async () => {
    const { made, finish } = await heldAssembly([100 * KIB, 150 * KIB])
    for (const part of made.parts) await terminate(node.engine, part, null)
    expect(await finish()).toBe(true)
    await stage.expectContents(node, made, made.parts)
    await stage.expectTidy(node, 'after the assembly')
  })

  test('another final may be made of the same parts, and is assembled too', async () => {
    const { made, finish } = await heldAssembly([100 * KIB, 150 * KIB])
    const [one = '', two = ''] = made.parts
    const { upload } = await concatenate(node.engine, finalOf([two, one]))
    expect(await finish()).toBe(true)
    const bytes = [made.contents.get(two), made.contents.get(one)].map((each) => each ?? Buffer.alloc(0))
    const both = { ...made, contents: new Map(made.contents).set(upload.id, Buffer.concat(bytes)) }
    await stage.expectContents(node, both)
    expect(await assemble(node.engine)).toBe(true)
    await stage.expectContents(node, both)
    await stage.expectTidy(node, 'after both assemblies')
    await terminate(node.engine, made.final, null)
    await stage.expectContents(node, both, [made.final])
    await stage.expectTidy(node, 'after the first final was deleted')
  })

  test('a deleted final stays deleted, and its copy goes', async () => {
    const { made, finish } = await heldAssembly([100 * KIB, 150 * KIB])
    const assembled = vi.fn()
    node.engine.events.on('upload_assembled', assembled)
    await terminate(node.engine, made.final, null)
    await finish()
    expect(await node.engine.registry.find(made.final, null)).toBeNull()
    expect(assembled).not.toHaveBeenCalled()
    await stage.expectContents(node, made, [made.final])
    await stage.expectTidy(node, 'after the final was deleted')
  })

  test('a final and its parts may go before the file of the copy is there', async () => {
    const made = await stage.waitingFinal(node, [100 * KIB, 150 * KIB])
    const held = holdMaking()
    const slow = await stage.node({ fs: held.fs })
    const done = assemble(slow.engine)
    await held.reached
    for (const id of [made.final, ...made.parts]) await terminate(node.engine, id, null)
    await sweep(node.engine)
    held.release()
    await done
    await stage.expectTidy(node, 'after everything was deleted')
  })
})

test.each(['assemblyProgress', 'finishAssembly'] as const)(
  'a database that is away at %s puts an assembly off, and does not end it',
  async (method) => {
    const made = await stage.waitingFinal(node, [100 * KIB, 150 * KIB])
    const engine = { ...node.engine, registry: awayOnce(node.engine.registry, method) }
    await assemble(engine)
    await assemble(engine, made.final)
    expect(await stage.assembly(made.final)).toBeUndefined()
    await stage.expectContents(node, made)
    await stage.expectTidy(node, 'after the assembly')
  },
)

test('a final that becomes complete while an assembly replaces the blobs of its parts has its content', async () => {
  const made = await stage.waitingFinal(node, [100 * KIB, 150 * KIB])
  const [shared = ''] = made.parts
  const bytes = new KeyedBytes('last part', 50 * KIB).slice()
  const last = await node.engine.registry.create(draft({ kind: 'partial', length: bytes.length }))
  const waiting = await concatenate(node.engine, finalOf([last.id, shared]))
  await append(node.engine, last.id, 0, [bytes.subarray(0, KIB)])
  const held = holdWrite(2)
  const slow = await stage.node({ fs: held.fs })
  const assembling = assemble(slow.engine)
  await held.reached
  const wanted = { id: last.id, owner: null, protocol: 'tus' as const, declaredLength: null }
  const claim = await node.engine.registry.claim({ ...wanted, start: KIB, stop: null })
  if (claim === null) throw new Error('the part is held')
  const source = Readable.from([bytes.subarray(KIB)], { objectMode: false })
  await node.engine.bytes.write(claim.blob, claim.blobOffset, source, { limit: 50 * KIB, fresh: false }).done
  const { knex, s } = node.postgres.database
  // The completing transaction has done all its work, and is not committed, when the assembly swaps the extents.
  await knex.transaction(async (open) => {
    await open.raw(`select ${s}.record_range('none', ?, ?, ?, null)`, [last.id, claim.token, bytes.length])
    held.release()
    await untilSettledOrWaiting(assembling)
  })
  expect(await assembling).toBe(true)
  await sweep(node.engine)
  const whole = Buffer.concat([bytes, made.contents.get(shared) ?? Buffer.alloc(0)])
  await expectInvariants(stage.schema, stage.blobs, 'after both were committed')
  expect(whole.equals(await download(node.engine, waiting.upload.id))).toBe(true)
})

/** Either the other transaction got through, or it waits for a lock of ours. */
async function untilSettledOrWaiting(assembling: Promise<boolean>): Promise<void> {
  let settled = false
  const settle = () => {
    settled = true
  }
  assembling.then(settle, settle)
  for (;;) {
    const [row] = await stage.schema.run<{ waiting: string }>(
      `select count(*) as waiting from pg_locks l join pg_stat_activity a using (pid)
       where not l.granted and a.query like '%${stage.schema.name}%'`,
    )
    if (settled || Number(row?.waiting) > 0) return
  }
}
