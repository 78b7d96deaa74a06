import { range } from './figure.mjs'

/** @returns rows of { says, measured, verdict }, as text */
export function targetRows({ results, size }) {
  return results.flatMap(({ work, verdicts }) =>
    verdicts.map(({ target, measured, met }) => ({
      says: target.says,
      limit: limit(work, target),
      measured: measured === undefined ? 'not measured' : `${range(measured)}${unit(work, target)}`,
      verdict: verdict(met, size),
    })),
  )
}

/** Small sizes measure the start of things, and say nothing about what the targets mean. */
function verdict(met, size) {
  if (met === undefined) return '–'
  if (size !== 'full') return 'not judged'
  return met ? 'met' : '**missed**'
}

function limit(work, target) {
  const [sign, value] = target.atLeast === undefined ? ['≤', target.atMost] : ['≥', target.atLeast]
  return `${sign} ${value}${unit(work, target)}`
}

function unit(work, { than, unit: own }) {
  return than === undefined ? ` ${own ?? work.unit}` : ' ×'
}
