import { expect } from 'vitest'
import { assemble } from '../../../src/upload/assemble.js'
import { concatenate } from '../../../src/upload/concatenate.js'
import type { Engine } from '../../../src/upload/engine.js'
import { sweep } from '../../../src/upload/sweep.js'
import { terminate } from '../../../src/upload/terminate.js'
import { append, download, finalOf } from '../engine-on-disk.js'
import type { CrashStage } from './crash-stage.js'

/** What clients believe of a scene: bytes by upload, and the finals they asked for. */
export interface Belief {
  /** The whole content of each upload a client knows, or may learn of. */
  readonly contents: ReadonlyMap<string, Buffer>
  /** Bytes that were acknowledged, by upload: never fewer afterwards. */
  readonly acknowledged: ReadonlyMap<string, number>
  /** Parts by final; the request is repeated after a crash. */
  readonly finals: ReadonlyMap<string, readonly string[]>
  /** Uploads that are meant to go away: whether they still answer depends on the step. */
  readonly leaving: ReadonlySet<string>
}

/** After a death: what must be true at once, after a sweep, after clients went on, and after all is deleted. */
export async function expectRecovery(stage: CrashStage, belief: Belief, where: string): Promise<void> {
  const { schema, survivor } = stage
  await stage.expectInvariants(`right after it ${where}`)
  await sweep(survivor)
  await stage.expectSwept(`after a sweep, when it ${where}`)
  const goneBySelf = await resumeAll(survivor, belief, where)
  await repeatFinals(survivor, belief, goneBySelf)
  for (const id of belief.finals.keys()) await assemble(survivor, id)
  // Other uploads that lie in several places.
  while (await assemble(survivor));
  const waiting = await schema.run('select upload_id, copied, epoch from $s.assemblies')
  expect(waiting, `assemblies that do not end, when it ${where}`).toEqual([])
  await expectContents(survivor, belief, where)
  await stage.expectInvariants(`after the uploads went on, when it ${where}`)
  await deleteAll(stage)
  await sweep(survivor)
  await stage.expectSwept(`after everything was deleted, when it ${where}`)
  const left = await schema.run<{ n: string }>('select count(*) as n from $s.blobs')
  expect(Number(left[0]?.n), `blobs left, when it ${where}`).toBe(0)
}

/** Goes on with every upload where it says it is. Returns those that are not there any more. */
async function resumeAll(engine: Engine, belief: Belief, where: string): Promise<ReadonlySet<string>> {
  const gone = new Set<string>()
  for (const [id, bytes] of belief.contents) {
    const found = await engine.registry.find(id, null)
    const acknowledged = belief.acknowledged.get(id)
    if (found === null || found.upload.status === 'expired') {
      expect(acknowledged === undefined || belief.leaving.has(id), `${id} is gone, when it ${where}`).toBe(
        true,
      )
      gone.add(id)
      continue
    }
    if (found.upload.kind === 'final') continue
    const { offset, status } = found.upload
    expect(offset, `offset, when it ${where}`).toBeGreaterThanOrEqual(acknowledged ?? 0)
    if (status === 'in_progress') await append(engine, id, offset, [bytes.subarray(offset)])
  }
  return gone
}

async function repeatFinals(engine: Engine, belief: Belief, gone: ReadonlySet<string>): Promise<void> {
  for (const [id, parts] of belief.finals) {
    if (parts.some((part) => gone.has(part)) || belief.leaving.has(id)) continue
    await concatenate(engine, finalOf(parts, id))
  }
}

async function expectContents(engine: Engine, belief: Belief, where: string): Promise<void> {
  for (const [id, bytes] of belief.contents) {
    const found = await engine.registry.find(id, null)
    if (found?.upload.status !== 'complete') continue
    const same = bytes.equals(await download(engine, id))
    expect(same, `content of the ${found.upload.kind} ${id}, when it ${where}`).toBe(true)
  }
}

async function deleteAll({ schema, survivor }: CrashStage): Promise<void> {
  const rows = await schema.run<{ id: string }>('select id from $s.uploads order by id')
  for (const { id } of rows) await terminate(survivor, id, null)
}
