import { expect } from 'vitest'
import { type Belief, expectRecovery } from './aftermath.js'
import type { CrashStage, Death } from './crash-stage.js'
import type { MakeScene, Scene } from './scenes.js'

/** Dies at step after step, until the use case gets through. */
export async function walk(stage: CrashStage, makeScene: MakeScene, death: Death): Promise<void> {
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

function beliefOf(scene: Scene): Belief {
  return {
    contents: scene.contents ?? new Map(),
    acknowledged: scene.acknowledged ?? new Map(),
    finals: scene.finals ?? new Map(),
    leaving: scene.leaving ?? new Set(),
  }
}
