import { afterEach, beforeEach, describe, test, vi } from 'vitest'
import type { CrashStage } from '../support/crash/crash-stage.js'
import { DiskStage } from '../support/crash/disk-stage.js'
import * as scenes from '../support/crash/scenes.js'
import { walk } from '../support/crash/walk.js'

/**
 * Law 2, step by step: a process dies before, after and within every step of every use case, on a real database and
 * a real disk. Right afterwards no row promises bytes that are not there; a sweep leaves nothing behind; clients go
 * on where the rows say, and have their content in the end.
 */

const KIB = 1024

type Named = readonly [string, scenes.MakeScene]

/** Where it matters whether the dead may still be writing: somebody takes over what they were at. */
const TAKEN_OVER: readonly Named[] = [
  ['a creation with many bytes', scenes.creatingWith(1500 * KIB, 1600 * KIB)],
  ['a PATCH', scenes.appending(150 * KIB, 400 * KIB)],
  ['a PATCH with checkpoints', scenes.appendingMuch],
  ['an assembly', scenes.assembling()],
]

/** Where bytes are acknowledged, which must outlive the machine (law 3). */
const WRITING: readonly Named[] = [
  ...TAKEN_OVER,
  ['a creation with all its bytes', scenes.creatingWith(100 * KIB, 100 * KIB)],
  ['a creation with its first bytes', scenes.creatingWith(100 * KIB, 300 * KIB)],
]

const SCENES: readonly Named[] = [
  ...WRITING,
  ['a creation', scenes.creating],
  ['the PATCH that completes a waiting final', scenes.completing],
  ['a final', scenes.concatenating],
  ['a deletion', scenes.terminating],
  ['the deletion of a final that is being assembled', scenes.terminatingFinal],
  ['the deletion of a part that a final waits for', scenes.terminatingPart],
  ['a sweep', scenes.sweeping],
]

let stage: CrashStage

beforeEach(async () => {
  stage = await DiskStage.open()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await stage.close()
})

describe('a process that is provably dead', () => {
  test.each(SCENES)('at any step of %s loses nothing', async (_name, makeScene) => {
    await walk(stage, makeScene, 'buried')
  })
})

describe('a process that is silent', () => {
  test.each(TAKEN_OVER)('from any step of %s on loses nothing', async (_name, makeScene) => {
    await walk(stage, makeScene, 'lapsed')
  })
})

describe('a machine without power', () => {
  test.each(WRITING)('at any step of %s loses nothing', async (_name, makeScene) => {
    await walk(stage, makeScene, 'unpowered')
  })
})
