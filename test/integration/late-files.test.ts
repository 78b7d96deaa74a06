import { afterEach, beforeEach, expect, test } from 'vitest'
import { sweep } from '../../src/upload/sweep.js'
import { terminate } from '../../src/upload/terminate.js'
import { AssemblyStage, type StageNode } from '../support/assembly-stage.js'
import { append, download, draft } from '../support/engine-on-disk.js'
import { type HeldCalls, holdMaking } from '../support/held-calls.js'
import { expectInvariants } from '../support/invariants.js'
import { KeyedBytes } from '../support/keyed-bytes.js'

/** A process that is held between its claim and the making of its file makes it when nobody expects it any more. */

const LENGTH = 100 * 1024

let stage: AssemblyStage
let node: StageNode
let slow: StageNode
let held: HeldCalls

beforeEach(async () => {
  stage = await AssemblyStage.open()
  node = await stage.node()
  held = holdMaking()
  slow = await stage.node({ fs: held.fs })
})

afterEach(async () => {
  await stage.close()
})

const bytes = new KeyedBytes('right', LENGTH).slice()
const others = new KeyedBytes('late', LENGTH).slice()

test('the file of an upload that was deleted meanwhile does not stay', async () => {
  const { id } = await node.engine.registry.create(draft({ length: LENGTH }))
  const late = append(slow.engine, id, 0, [others])
  await held.reached
  await terminate(node.engine, id, null)
  held.release()
  await expect(late).rejects.toMatchObject({ code: 'upload_not_found' })
  await stage.expectTidy(node, 'after the late writer was through')
})

test('a node that froze before it made its file harms nobody and leaves nothing, its epoch long swept', async () => {
  const { id } = await node.engine.registry.create(draft({ length: LENGTH }))
  const late = append(slow.engine, id, 0, [others])
  await held.reached
  await stage.lapse(slow)
  await append(node.engine, id, 0, [bytes.subarray(0, LENGTH / 2)])
  await sweep(node.engine)
  held.release()
  await expect(late).rejects.toMatchObject({ code: 'claim_lost' })
  await expectInvariants(stage.schema, stage.blobs, 'after the node had thawed')
  await append(node.engine, id, LENGTH / 2, [bytes.subarray(LENGTH / 2)])
  expect(bytes.equals(await download(node.engine, id))).toBe(true)
  await stage.expectTidy(node, 'after the upload was complete')
})
