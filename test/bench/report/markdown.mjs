import { titleOf } from './console.mjs'
import { profileTable } from './profiles.mjs'
import { markdownTable, workTable } from './tables.mjs'
import { targetRows } from './targets.mjs'

const BEGIN = '<!-- results -->'
const END = '<!-- /results -->'
const PROFILED =
  'Where the processor time of Tributary goes, seen once more with `node --cpu-prof`, which costs some itself. The parts are those of the main thread.'

/** The document with everything between its marks made anew. What was written by hand around them stays. */
export function withResults(document, run) {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`BENCHMARKS.md has no ${BEGIN} … ${END}`)
  return `${document.slice(0, begin + BEGIN.length)}\n\n${generated(run)}\n\n${document.slice(end)}`
}

function generated(run) {
  return [
    '![How many times as good Tributary is as its peers, work by work](BENCHMARKS.svg)',
    '## Targets',
    targets(run),
    '## Figures',
    ...run.results.map((result) => section(result, run)),
    ...leftOut(run),
    '## Machine and versions',
    list({ ...run.machine, ...Object.assign({}, ...run.results.map(({ when }) => when.versions)) }),
  ].join('\n\n')
}

function targets(run) {
  const rows = targetRows(run).map(({ says, limit, measured, verdict }) => [says, limit, measured, verdict])
  return markdownTable({ heads: ['', 'target', 'measured', ''], rows })
}

function section(result, run) {
  const { size } = run
  const { work } = result
  const notes = work.notes === undefined ? [] : [work.notes]
  const profiles = profileTable(result)
  return [
    `### ${titleOf(work, size)}`,
    ...notes,
    markdownTable(workTable(result)),
    measured(result, run),
    ...(profiles === undefined ? [] : [PROFILED, markdownTable(profiles)]),
  ].join('\n\n')
}

/** When, how often, of what, and where, if that was another machine than that of the last run. */
function measured({ when, lanes }, { machine }) {
  const rounds = Math.max(...lanes.map(({ samples }) => samples.length))
  const elsewhere = ['Processor', 'Memory', 'System'].filter((name) => when.machine[name] !== machine[name])
  const where = elsewhere.map((name) => `; ${name}: ${when.machine[name]}`).join('')
  return `Measured on ${when.date} at ${when.commit} by \`${when.command}\` (${counted(rounds)}${where}).`
}

function leftOut({ results }) {
  const skipped = unique(results.flatMap(({ when }) => when.skipped))
  const failures = results.flatMap(({ when }) => when.failures)
  if (skipped.length + failures.length === 0) return []
  const lines = [
    ...skipped.map(({ name, reason }) => `- ${name}: ${reason}`),
    ...failures.map(({ work, lane, message }) => `- ${lane} failed in ${work}: ${message}`),
  ]
  return [`## Left out`, lines.join('\n')]
}

function unique(list) {
  return [...new Map(list.map((one) => [one.name, one])).values()]
}

function list(pairs) {
  return Object.entries(pairs)
    .map(([name, text]) => `- ${name}: ${text}`)
    .join('\n')
}

function counted(rounds) {
  return rounds === 1 ? 'one round' : `${rounds} rounds`
}
