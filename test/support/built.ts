import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rmdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { codeOf } from '../../stores/postgres/embedded/error.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const DIST = join(ROOT, 'dist')
const STAMP = join(ROOT, 'node_modules', '.tributary-built')
const LOCK = join(ROOT, 'node_modules', '.tributary-building')
/** A build takes about 2 s; a lock this old belongs to a test run that was killed. */
const LOCK_IS_DEAD_MS = 300_000

let building: Promise<string> | undefined

/**
 * The path of `dist`, built from the sources as they are now. For tests that start node processes, since Node
 * 20 runs no TypeScript. Vitest's workers are processes of their own: the first one that finds the build out
 * of date makes it, the others wait. Types are not checked here; `npm run typecheck` does that.
 */
export function builtDist(): Promise<string> {
  building ??= build()
  return building
}

async function build(): Promise<string> {
  if (await isCurrent()) return DIST
  while (!(await takeLock())) await sleep(50)
  try {
    if (await isCurrent()) return DIST
    const fingerprint = await fingerprintSources()
    const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
    await promisify(execFile)(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--noCheck'], {
      cwd: ROOT,
    })
    await writeFile(STAMP, fingerprint)
    return DIST
  } finally {
    await rmdir(LOCK)
  }
}

async function takeLock(): Promise<boolean> {
  try {
    await mkdir(LOCK)
    return true
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
  try {
    if (Date.now() - (await stat(LOCK)).mtimeMs > LOCK_IS_DEAD_MS) await rmdir(LOCK)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
  return false
}

async function isCurrent(): Promise<boolean> {
  try {
    await stat(join(DIST, 'stores'))
    return (await readFile(STAMP, 'utf8')) === (await fingerprintSources())
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

async function fingerprintSources(): Promise<string> {
  const hash = createHash('sha256')
  for (const config of ['tsconfig.json', 'tsconfig.build.json']) {
    hash.update(`${config}\n`).update(await readFile(join(ROOT, config)))
  }
  for (const room of ['src', 'stores', 'migrations']) {
    const names = await readdir(join(ROOT, room), { recursive: true })
    for (const name of names.filter((each) => /\.m?ts$|\.mjs$/.test(each)).sort()) {
      hash.update(`${room}/${name}\n`).update(await readFile(join(ROOT, room, name)))
    }
  }
  return hash.digest('hex')
}
