import type { Cut, CutKind, CutPlan } from './cutting-proxy.js'
import { seededRandom } from './seeded.js'

export interface RandomCuts {
  readonly seed: number
  readonly kinds: readonly CutKind[]
  /** Cuts come after at most so many bytes of a connection. */
  readonly within: number
  /** Of so many connections one is spared, or a client would never get through with a body longer than `within`. */
  readonly spareOneOf: number
  /** Connections from this number on are all spared: a client gives up some time. */
  readonly until: number
}

/**
 * Cuts in the middle of bodies, or between an action and its answer. Never in the middle of an answer: tus-js-client
 * waits for ever for the rest of one (it listens to `end` alone).
 */
export function randomCuts({ seed, kinds, within, spareOneOf, until }: RandomCuts): CutPlan {
  const random = seededRandom(seed)
  return (connection): Cut | null => {
    const [spared, where, point, kind] = [random(), random(), random(), random()]
    if (connection >= until || spared * spareOneOf < 1) return null
    const bytes = Math.floor(point * within)
    return {
      at: where < 0.6 ? { sent: bytes } : { answerLostAfter: bytes },
      how: kinds[Math.floor(kind * kinds.length)] ?? 'rst',
    }
  }
}
