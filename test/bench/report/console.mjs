import { profileTable } from './profiles.mjs'
import { workTable } from './tables.mjs'
import { targetRows } from './targets.mjs'

export function workText(result, size) {
  const profiles = profileTable(result)
  const more = profiles === undefined ? '' : `\n${aligned(profiles)}\n`
  return `\n${titleOf(result.work, size)}\n${aligned(workTable(result))}\n${more}`
}

export function targetsText(run) {
  const rows = targetRows(run).map(({ says, limit, measured, verdict }) => [
    says,
    limit,
    measured,
    verdict.replaceAll('*', ''),
  ])
  return `\n${aligned({ heads: ['target', '', 'measured', ''], rows })}\n`
}

export function titleOf(work, size) {
  return typeof work.title === 'function' ? work.title(work.sizes[size]) : work.title
}

function aligned({ heads, rows }) {
  const all = [heads, ...rows]
  const widths = heads.map((_, column) => Math.max(...all.map((row) => row[column].length)))
  const line = (row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd()
  return all.map(line).join('\n')
}
