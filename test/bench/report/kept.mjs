import { readFile, writeFile } from 'node:fs/promises'
import { judge } from '../measure/ratios.mjs'
import { works } from '../works/index.mjs'

/**
 * Puts a run into the file of what was measured, work by work, and resolves with all that is in it, as a run: a work that was not part of
 * this one keeps its last figures, with the day, the machine and the versions they are of. So one that is new needs no hour with all the others.
 */
export async function keep(path, run) {
  const kept = await read(path)
  const { date, command, commit, machine, versions, skipped, failures } = run
  for (const { work, lanes } of run.results) {
    const ofIt = failures.filter((failure) => failure.work === work.name)
    const when = { date, command, commit, machine, versions, skipped, failures: ofIt }
    kept[work.name] = { ...when, lanes: lanes.map(plainLane) }
  }
  await writeFile(path, `${JSON.stringify(kept)}\n`)
  return { ...run, results: works.flatMap((work) => resultOf(work, kept[work.name])) }
}

async function read(path) {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    if (error.code === 'ENOENT') return {}
    throw error
  }
}

function plainLane({ as, title, peer, samples, profile }) {
  return { as, title, ...(peer && { peer: { name: peer.name, title: peer.title } }), samples, profile }
}

function resultOf(work, kept) {
  if (kept === undefined) return []
  const { lanes, ...when } = kept
  return [{ work, lanes, when, verdicts: work.targets.map((target) => judge(work, target, lanes)) }]
}
