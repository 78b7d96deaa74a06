import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Belief, expectRecovery } from '../support/crash/aftermath.js'
import { CrashStage, type Death } from '../support/crash/crash-stage.js'
import * as scenes from '../support/crash/scenes.js'

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
  ['a PATCH', scenes.appending],
  ['a PATCH with checkpoints', scenes.appendingMuch],
  ['an assembly', scenes.assembling],
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
  stage = await CrashStage.open()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await stage.close()
})

describe('a process that is provably dead', () => {
  test.each(SCENES)('at any step of %s loses nothing', { timeout: 60_000 }, async (_name, makeScene) => {
    await walk(makeScene, 'buried')
  })
})

describe('a process that is silent', () => {
  test.each(TAKEN_OVER)(
    'from any step of %s on loses nothing',
    { timeout: 60_000 },
    async (_name, makeScene) => {
      await walk(makeScene, 'lapsed')
    },
  )
})

describe('a machine without power', () => {
  test.each(WRITING)('at any step of %s loses nothing', { timeout: 60_000 }, async (_name, makeScene) => {
    await walk(makeScene, 'unpowered')
  })
})

/** Dies at step after step, until the use case gets through. */
async function walk(makeScene: scenes.MakeScene, death: Death): Promise<void> {
  for (let step = 0; ; step++) {
    const scene = await makeScene(stage)
    const mortal = await stage.dieAt(step, scene.act, death, scene.from)
    await expectRecovery(stage, beliefOf(scene), mortal.death ?? 'got through')
    if (mortal.death === null) {
      expect(step, 'steps').toBeGreaterThan(1)
      return
    }
  }
}

function beliefOf(scene: scenes.Scene): Belief {
  return {
    contents: scene.contents ?? new Map(),
    acknowledged: scene.acknowledged ?? new Map(),
    finals: scene.finals ?? new Map(),
    leaving: scene.leaving ?? new Set(),
  }
}
