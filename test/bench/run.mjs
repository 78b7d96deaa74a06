/**
 * The benchmark: Tributary beside its peers, in turns, with load from C programs. README: BENCHMARKS.md. Needs a build.
 *
 *   npm run bench -- [--size smoke|full] [--only work,work] [--peers name,name] [--rounds N] [--profile] [--write] [--json FILE]
 *                    [--tools DIR] [--scratch DIR]
 *
 * --profile lets Tributary run once more at the end of each work, watched by Node's profiler, and shows where its time goes.
 *
 * Exit status: 0; 1 when something broke, the rest of the run nevertheless done; 2 for flags or circumstances that cannot work.
 */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { missing, program } from './load/program.mjs'
import { Files } from './measure/files.mjs'
import { lanesOf, peersOf } from './measure/lanes.mjs'
import { measuresProcesses } from './measure/process-tree.mjs'
import { judge } from './measure/ratios.mjs'
import { runWork } from './measure/rounds.mjs'
import { peers } from './peers/index.mjs'
import { Missing } from './peers/missing.mjs'
import { chart } from './report/chart.mjs'
import { targetsText, workText } from './report/console.mjs'
import { keep } from './report/kept.mjs'
import { describeMachine } from './report/machine.mjs'
import { withResults } from './report/markdown.mjs'
import { works } from './works/index.mjs'

const ROOT = new URL('../../', import.meta.url)
const DOCUMENT = fileURLToPath(new URL('BENCHMARKS.md', ROOT))
const CHART = fileURLToPath(new URL('BENCHMARKS.svg', ROOT))
const KEPT = fileURLToPath(new URL('results.json', import.meta.url))
const BUILT = fileURLToPath(new URL('dist/src/main.js', ROOT))

class Misuse extends Error {}

/** Progress goes to stderr, results to stdout. */
const say = (line) => console.error(line)

// Who piped the output into `head` has enough of it; servers and files are to be cleared away nevertheless.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)

const interruption = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    say('Interrupted: what is running is ended in order. Once more ends at once.')
    interruption.abort(new Error('interrupted'))
  })
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof Misuse || interruption.signal.aborted ? error.message : error)
  process.exitCode = error instanceof Misuse ? 2 : 1
}

async function main(argv) {
  const options = parse(argv)
  if (!existsSync(BUILT)) throw new Misuse('There is no build to measure (dist/src/main.js): npm run build')
  await mkdir(options.scratch, { recursive: true })
  const scratch = await mkdtemp(join(options.scratch, 'tributary-bench-'))
  try {
    const run = await measure(options, scratch)
    if (options.json) await writeFile(options.json, `${JSON.stringify(plain(run), null, 2)}\n`)
    if (options.write) await publish(run)
    console.log(targetsText(run))
    for (const { name, reason } of run.skipped) console.log(`left out: ${name}: ${reason}`)
    for (const { work, lane, message } of run.failures) console.log(`FAILED: ${lane} in ${work}: ${message}`)
    return run.failures.length === 0 ? 0 : 1
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

function parse(argv) {
  const size = { smoke: { rounds: 1, warmUp: false }, full: { rounds: 5, warmUp: true } }
  const values = flags(argv)
  if (!Object.hasOwn(size, values.size)) throw new Misuse('--size is smoke or full')
  const rounds = Number(values.rounds ?? size[values.size].rounds)
  if (!Number.isInteger(rounds) || rounds < 1) throw new Misuse('--rounds is a whole number from 1')
  if (values.write && values.size !== 'full')
    throw new Misuse('--write is for the full size: others say nothing')
  if (values.write && values.peers)
    throw new Misuse('--write is for all peers: others would lose their figures')
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  return {
    size: values.size,
    rounds,
    warmUp: size[values.size].warmUp,
    works: chosen('--only', values.only, works),
    peers: chosen('--peers', values.peers, peers),
    tools: resolve(values.tools ?? join(cache, 'tributary-bench')),
    scratch: resolve(values.scratch ?? tmpdir()),
    profile: values.profile,
    write: values.write,
    json: values.json,
    command: ['npm run bench', ...said(values)].join(' '),
  }
}

function flags(args) {
  const text = { type: 'string' }
  const options = {
    size: { type: 'string', default: 'full' },
    write: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    ...{ only: text, peers: text, rounds: text, json: text, tools: text, scratch: text },
  }
  try {
    return parseArgs({ args, options }).values
  } catch (error) {
    throw new Misuse(error.message, { cause: error })
  }
}

/** The flags that say what was measured, for whoever wants to repeat it; not where on this machine. */
function said({ size, only, peers, rounds, profile }) {
  const given = Object.entries({ size: size === 'full' ? undefined : size, only, peers, rounds })
  const words = given.filter(([, value]) => value !== undefined).map(([name, value]) => `--${name} ${value}`)
  if (profile) words.push('--profile')
  return words.length === 0 ? [] : ['--', ...words]
}

function chosen(flag, list, all) {
  if (list === undefined) return all
  const names = list.split(',')
  const known = all.map(({ name }) => name)
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length > 0) throw new Misuse(`${flag}: ${unknown.join(', ')} is none of ${known.join(', ')}`)
  return all.filter(({ name }) => names.includes(name))
}

async function measure(options, scratch) {
  const run = {
    date: new Date().toISOString().slice(0, 10),
    commit: await commitOf(),
    command: options.command,
    size: options.size,
    rounds: options.rounds,
    machine: await describeMachine(scratch),
    versions: {},
    results: [],
    skipped: [],
    failures: [],
  }
  if (!measuresProcesses)
    run.skipped.push({ name: 'CPU time and memory', reason: 'they are read from /proc, which Linux has' })
  const todo = options.works.filter((work) => possible(work, run))
  const prepared = await prepare(options, todo, run)
  const files = new Files(scratch)
  for (const work of todo) run.results.push(await result(work, { options, prepared, files, scratch, run }))
  // What was interrupted in its last turn looks whole, and may not be.
  interruption.signal.throwIfAborted()
  return run
}

/** Of what is measured; with a star where files differ from it. */
async function commitOf() {
  const git = (...args) => program('git', ['-C', fileURLToPath(ROOT), ...args]).catch(() => ({ stdout: '' }))
  const head = await git('rev-parse', '--short', 'HEAD')
  const changed = await git('status', '--porcelain', 'src', 'stores', 'migrations')
  return `${head.stdout.trim() || 'an unknown commit'}${changed.stdout === '' ? '' : '*'}`
}

function possible(work, { skipped }) {
  const absent = missing(work.needs ?? [])
  if (absent.length > 0) skipped.push({ name: work.name, reason: `${absent.join(' and ')} is not installed` })
  return absent.length === 0
}

/** Resolves with the peers that are to take part and can, by name. */
async function prepare({ peers, tools }, todo, run) {
  const wanted = new Set(todo.flatMap(peersOf))
  const prepared = new Map()
  await mkdir(tools, { recursive: true })
  for (const peer of peers.filter(({ name }) => wanted.has(name))) {
    interruption.signal.throwIfAborted()
    try {
      say(`preparing ${peer.name}`)
      const { version } = await peer.prepare(tools)
      prepared.set(peer.name, peer)
      run.versions[peer.title] = version
    } catch (error) {
      if (error instanceof Missing) run.skipped.push({ name: peer.name, reason: error.message })
      else run.failures.push({ work: 'its preparation', lane: peer.name, message: error.message })
      say(`${peer.name} is left out: ${error.message}`)
    }
  }
  return prepared
}

async function result(work, { options, prepared, files, scratch, run }) {
  const { size, tools, profile } = options
  const turns = {
    profile,
    size: work.sizes[size],
    files,
    tools,
    scratch,
    say,
    interrupted: interruption.signal,
  }
  const { lanes, failures } = await runWork(work, lanesOf(work, prepared), {
    ...turns,
    ...roundsOf(work, options),
  })
  await files.clear()
  run.failures.push(...failures)
  const done = { work, lanes, verdicts: work.targets.map((target) => judge(work, target, lanes)) }
  console.log(workText(done, size))
  return done
}

function roundsOf(work, { rounds, warmUp }) {
  return work.rounds === undefined
    ? { rounds, warmUp }
    : { rounds: Math.min(work.rounds, rounds), warmUp: false }
}

async function publish(run) {
  const all = await keep(KEPT, run)
  await writeFile(DOCUMENT, withResults(await readFile(DOCUMENT, 'utf8'), all))
  await writeFile(CHART, chart(all))
}

/** What is measured and judged, without the code that did it. */
function plain({ results, ...run }) {
  return {
    ...run,
    results: results.map(({ work, lanes, verdicts }) => ({
      work: work.name,
      unit: work.unit,
      better: work.better,
      lanes: lanes.map(({ as, peer, samples, profile }) => ({ as, peer: peer?.name, samples, profile })),
      verdicts,
    })),
  }
}
