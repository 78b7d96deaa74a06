import { spread } from './spread.mjs'

/**
 * How many times as good `one` was as `other`, whichever direction is good. Made within each round and only then
 * reduced to a median: what else the machine did in a round happened to both.
 */
export function timesAsGood(work, one, other) {
  return spread(
    pairs(one, [other]).map(([mine, theirs]) => (work.better === 'more' ? mine / theirs : theirs / mine)),
  )
}

/**
 * What a target says against what was measured.
 *
 *   { peer, atMost | atLeast, of }        the figure of a lane, or its extra `of`
 *   { peer, than, atLeast }               at least so many times as good as another
 *   { peer, than, atMost }                its figure at most so many times the other's
 *
 * `than` may be several lanes: the worst of them in each round counts.
 */
export function judge(work, target, lanes) {
  const lane = lanes.find(({ as }) => as === target.peer)
  const others = [target.than ?? []].flat().map((name) => lanes.find(({ as }) => as === name))
  const measured =
    lane === undefined || others.includes(undefined) ? undefined : measure(work, target, lane, others)
  return { target, measured, met: measured && holds(target, measured.median) }
}

function measure(work, target, lane, others) {
  if (others.length === 0) {
    return spread(lane.samples.map((sample) => (target.of ? sample?.extra?.[target.of] : sample?.value)))
  }
  const worst = (theirs) => (work.better === 'more' ? Math.min(...theirs) : Math.max(...theirs))
  const betterIsMore = work.better === 'more' || target.atMost !== undefined
  return spread(
    pairs(lane, others).map(([mine, ...theirs]) =>
      betterIsMore ? mine / worst(theirs) : worst(theirs) / mine,
    ),
  )
}

/** The figures of the rounds in which all of them have one. */
function pairs(lane, others) {
  return lane.samples
    .map((sample, round) => [sample, ...others.map(({ samples }) => samples[round])])
    .filter((row) => row.every((sample) => sample !== undefined))
    .map((row) => row.map(({ value }) => value))
}

function holds({ atLeast, atMost }, figure) {
  return atLeast === undefined ? figure <= atMost : figure >= atLeast
}
