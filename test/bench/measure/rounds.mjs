import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { profiled } from '../profile/profiled.mjs'
import { takeTurn } from './turn.mjs'

/**
 * A work from beginning to end: lanes take turns A B C B C A, so that what the machine does besides falls on all of them. A
 * lane that fails is out for the rest of this work; the others go on.
 *
 * @param warmUp whether to begin with a round that does not count
 * @param profile whether Tributary is to run once more at the end, with a profiler
 * @returns the lanes with their samples, by round, and what failed
 */
export async function runWork(work, lanes, { rounds, warmUp, profile, scratch, say, interrupted, ...given }) {
  const results = lanes.map((lane) => ({ ...lane, samples: [] }))
  const failures = []
  const failed = new Set()
  const kept = []
  for (let round = warmUp ? -1 : 0; round < rounds; round++) {
    // Another one begins each round, so that a place among the others is nobody's advantage.
    for (const lane of rotated(results, round)) {
      if (failed.has(lane)) continue
      interrupted.throwIfAborted()
      try {
        const directory = join(scratch, `turn-${work.name}-${round}-${results.indexOf(lane)}`)
        if (work.keeps) kept.push(directory)
        const sample = await takeTurn(work, lane, { ...given, directory })
        say(`${work.name}, ${roundName(round, rounds)}: ${lane.as} ${brief(sample.value)} ${work.unit}`)
        if (round >= 0) lane.samples[round] = sample
      } catch (error) {
        interrupted.throwIfAborted()
        failed.add(lane)
        failures.push({ work: work.name, lane: lane.as, message: error.message })
        say(`${work.name}, ${roundName(round, rounds)}: ${lane.as} FAILED: ${error.stack}`)
      }
    }
  }
  if (profile && work.profiles) {
    for (const lane of results.filter(({ peer }) => peer?.isProfiled)) {
      if (failed.has(lane)) continue
      interrupted.throwIfAborted()
      say(`${work.name}, once more with a profiler: ${lane.as}`)
      const directory = join(scratch, `turn-${work.name}-profiled-${results.indexOf(lane)}`)
      if (work.keeps) kept.push(directory)
      try {
        lane.profile = await profiled(scratch, (watch) =>
          takeTurn(work, lane, { ...given, directory, watch }),
        )
      } catch (error) {
        failures.push({ work: work.name, lane: `${lane.as}, profiled`, message: error.message })
      }
    }
  }
  for (const directory of kept) await rm(directory, { recursive: true, force: true })
  return { lanes: results, failures }
}

function rotated(list, by) {
  const first = Math.max(0, by) % list.length
  return [...list.slice(first), ...list.slice(0, first)]
}

function roundName(round, rounds) {
  return round < 0 ? 'warm-up' : `round ${round + 1} of ${rounds}`
}

function brief(value) {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3)
}
