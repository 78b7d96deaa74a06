import { timesAsGood } from '../measure/ratios.mjs'
import { spread } from '../measure/spread.mjs'
import { figure, range, times } from './figure.mjs'

const GIB = 1024 ** 3

/** The table of one work: { heads, rows }, as text. Columns that nobody has a figure for are left out. */
export function workTable({ work, lanes }) {
  const columns = columnsOf(work, lanes).filter(({ cells }) => cells.some((cell) => cell !== '–'))
  return {
    heads: ['', ...columns.map(({ head }) => head)],
    rows: lanes.map(({ title }, row) => [title, ...columns.map(({ cells }) => cells[row])]),
  }
}

export function markdownTable({ heads, rows }) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  const marks = heads.map((_, column) => (column === 0 ? '---' : '--:'))
  return [line(heads), line(marks), ...rows.map(line)].join('\n')
}

function columnsOf(work, lanes) {
  const base = lanes.find(({ as }) => as === 'tributary')
  const column = (head, cell) => ({ head, cells: lanes.map(cell) })
  const median = (lane, pick) => figure(spread(lane.samples.map((sample) => sample && pick(sample)))?.median)
  const per = lanes.some(({ samples }) => samples.some((sample) => sample?.bytes)) ? 's/GiB' : 'ms a request'
  return [
    column(`${work.unit} (${work.better} is better)`, (lane) =>
      range(spread(lane.samples.map((s) => s?.value))),
    ),
    column(`${base?.title} is … as good`, (lane) =>
      base === undefined || lane === base ? '–' : times(timesAsGood(work, base, lane)),
    ),
    ...Object.entries(work.columns ?? {}).map(([name, head]) =>
      column(head, (lane) => range(spread(lane.samples.map((sample) => sample?.extra?.[name])))),
    ),
    column(`CPU, ${per}`, (lane) => median(lane, (sample) => each(sample, sample.cpuSeconds))),
    column('peak MiB', (lane) => median(lane, ({ peakMiB }) => peakMiB)),
    column(`PostgreSQL: CPU, ${per}`, (lane) =>
      median(lane, (sample) => each(sample, sample.databaseCpuSeconds)),
    ),
    column('PostgreSQL: peak MiB', (lane) => median(lane, ({ databasePeakMiB }) => databasePeakMiB)),
    column(`load: CPU, ${per}`, (lane) => median(lane, (sample) => each(sample, sample.loadCpuSeconds))),
    column('machine busy, %', (lane) => median(lane, ({ machineBusy }) => percent(machineBusy))),
    column('taken by its host, %', (lane) => median(lane, ({ machineSteal }) => percent(machineSteal))),
  ]
}

function percent(share) {
  return share === undefined ? undefined : share * 100
}

/** CPU time for a GiB or a request, whichever the work is about. */
function each({ bytes, requests }, seconds) {
  if (bytes) return seconds / (bytes / GIB)
  return requests ? (seconds / requests) * 1000 : undefined
}
