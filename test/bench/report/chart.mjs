import { timesAsGood } from '../measure/ratios.mjs'
import { titleOf } from './console.mjs'
import { figure } from './figure.mjs'

const WIDTH = 760
const NAMES = 170
const VALUES = 64
const ROW = 20
const HEADING = 28
const TOP = 64
const COLOURS = {
  better: '#0f766e',
  worse: '#c2570c',
  whisker: '#1f2937',
  target: '#be123c',
  text: '#1f2937',
  faint: '#d7dce2',
}

/**
 * Horizontal bars: how many times as good Tributary is as each of the others, work by work, with minimum and maximum as whiskers
 * and targets as ticks. Logarithmic, so that half and twice are as far from even. It brings its background along.
 */
export function chart(run) {
  const groups = run.results.map((result) => group(result, run.size)).filter(({ bars }) => bars.length > 0)
  const x = scale(groups.flatMap(({ bars }) => bars))
  let y = TOP
  const parts = []
  for (const { title, bars } of groups) {
    parts.push(text(16, y + 18, title, 'font-weight="600"'))
    y += HEADING
    for (const bar of bars) {
      parts.push(row(bar, y, x))
      y += ROW
    }
    y += 6
  }
  const height = y + 34
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img"`,
    `  font-family="system-ui, sans-serif" font-size="12" fill="${COLOURS.text}">`,
    '<title>How many times as good Tributary is as its peers</title>',
    `<rect width="${WIDTH}" height="${height}" rx="8" fill="#ffffff"/>`,
    text(16, 26, 'Tributary is so many times as good as', 'font-size="15" font-weight="600"'),
    text(
      16,
      44,
      'in speed or memory; medians, whiskers from minimum to maximum, red ticks for targets; 1 is even',
    ),
    ...grid(x, TOP, y),
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

function group({ work, lanes }, size) {
  const base = lanes.find(({ as }) => as === 'tributary')
  const others = lanes.filter(({ peer }) => peer !== undefined && !peer.name.startsWith('tributary'))
  return {
    title: titleOf(work, size),
    bars: others
      .map((lane) => ({
        name: lane.peer.title,
        ratio: base && timesAsGood(work, base, lane),
        target: work.targets.find((one) => one.peer === 'tributary' && one.than === lane.as)?.atLeast,
      }))
      .filter(({ ratio }) => ratio !== undefined),
  }
}

function scale(bars) {
  const values = bars.flatMap(({ ratio, target }) => [ratio.min, ratio.max, target ?? 1])
  const least = Math.floor(Math.log2(Math.min(0.5, ...values)))
  const most = Math.ceil(Math.log2(Math.max(4, ...values)))
  const [left, right] = [NAMES, WIDTH - VALUES]
  const place = (value) => left + ((Math.log2(value) - least) / (most - least)) * (right - left)
  const ticks = Array.from({ length: most - least + 1 }, (_, step) => 2 ** (least + step))
  return { place, ticks }
}

function grid({ place, ticks }, top, bottom) {
  return ticks.flatMap((tick) => [
    line(place(tick), top, place(tick), bottom, tick === 1 ? COLOURS.whisker : COLOURS.faint, 1),
    text(place(tick), bottom + 18, tick < 1 ? `1/${1 / tick}` : String(tick), 'text-anchor="middle"'),
  ])
}

function row({ name, ratio, target }, y, { place }) {
  const [one, end] = [place(1), place(ratio.median)]
  const middle = y + ROW / 2
  const colour = ratio.median >= 1 ? COLOURS.better : COLOURS.worse
  return [
    text(NAMES - 10, middle + 4, name, 'text-anchor="end"'),
    `<rect x="${round(Math.min(one, end))}" y="${y + 4}" width="${round(Math.abs(end - one))}" height="${ROW - 8}" fill="${colour}"/>`,
    line(place(ratio.min), middle, place(ratio.max), middle, COLOURS.whisker, 1.5),
    ...[ratio.min, ratio.max].map((value) =>
      line(place(value), middle - 3, place(value), middle + 3, COLOURS.whisker, 1.5),
    ),
    ...(target === undefined
      ? []
      : [line(place(target), y + 1, place(target), y + ROW - 1, COLOURS.target, 2.5)]),
    text(WIDTH - 14, middle + 4, `${figure(ratio.median)} ×`, 'text-anchor="end"'),
  ].join('\n')
}

function line(x1, y1, x2, y2, colour, width) {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" stroke="${colour}" stroke-width="${width}"/>`
}

function text(x, y, words, attributes = '') {
  const escaped = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escaped}</text>`
}

function round(value) {
  return Math.round(value * 10) / 10
}
