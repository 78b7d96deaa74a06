import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { builtDist } from '../support/built.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const TSC = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')

/** From an empty cache an installation takes this long on a slow line, in ms. */
const PATIENCE = 120_000

const run = promisify(execFile)

/** What npm says when there is no registry to talk to. */
const UNREACHABLE =
  /ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|ERR_SOCKET_TIMEOUT|E50\d/

let scratch: string

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'tributary-pack-'))
})

afterAll(() => rm(scratch, { recursive: true, force: true }))

interface Packed {
  readonly archive: string
  readonly files: readonly string[]
}

async function pack(): Promise<Packed> {
  await builtDist()
  const into = await mkdtemp(join(scratch, 'archive-'))
  // Built just now, and its own `prepare` would build into a directory other tests read from.
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', into]
  const { stdout } = await run('npm', args, { cwd: ROOT, maxBuffer: 16 * 1024 * 1024 })
  const [packed] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }]
  return { archive: join(into, packed.filename), files: packed.files.map(({ path }) => path) }
}

/** An empty project with the package in it. Null when there is no registry for what it depends on. */
async function install({ archive }: Packed): Promise<string | null> {
  const project = await mkdtemp(join(scratch, 'project-'))
  await writeFile(
    join(project, 'package.json'),
    JSON.stringify({ name: 'empty', private: true, type: 'module' }),
  )
  const options = ['--no-audit', '--no-fund', '--prefer-offline', '--fetch-retries=0']
  try {
    await run('npm', ['install', ...options, archive, '@types/node@20'], { cwd: project, timeout: PATIENCE })
    return project
  } catch (error) {
    if (UNREACHABLE.test(String(Reflect.get(error as object, 'stderr')))) return null
    throw error
  }
}

test('the package has what runs, its types and its papers, and nothing else', async () => {
  const { files } = await pack()
  for (const needed of [
    'dist/src/index.js',
    'dist/src/index.d.ts',
    'dist/src/main.js',
    'LICENSE',
    'package.json',
  ]) {
    expect(files).toContain(needed)
  }
  const rooms =
    /^(dist\/(src|stores|migrations)\/|dist\/\.|(README|ARCHITECTURE|CHANGELOG)\.md$|LICENSE$|package\.json$)/
  expect(files.filter((path) => !rooms.test(path))).toEqual([])
})

describe('in an empty project', () => {
  let project: string | null = null
  beforeAll(async () => {
    project = await install(await pack())
  }, PATIENCE)

  test('everything public can be imported', async ({ skip }) => {
    if (project === null) return skip('the npm registry cannot be reached')
    const names = await exportedValues()
    const script = `
      import * as all from 'tus-tributary'
      import { TusByteStore } from 'tus-tributary/stores/tus'
      if (all.TusByteStore !== TusByteStore) throw new Error('two of one class')
      console.log(JSON.stringify(Object.keys(all)))`
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], {
      cwd: project,
    })
    expect((JSON.parse(stdout) as string[]).sort()).toEqual([...names].sort())
  })

  test('nothing but what is public can be imported', async ({ skip }) => {
    if (project === null) return skip('the npm registry cannot be reached')
    const script = "import 'tus-tributary/dist/src/app.js'"
    const importing = run(process.execPath, ['--input-type=module', '--eval', script], { cwd: project })
    await expect(importing).rejects.toThrow('ERR_PACKAGE_PATH_NOT_EXPORTED')
  })

  test('the types compile, in strict mode', async ({ skip }) => {
    if (project === null) return skip('the npm registry cannot be reached')
    await writeFile(join(project, 'embed.ts'), EMBEDDING)
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify(STRICT))
    const { stdout } = await run(process.execPath, [TSC, '-p', '.'], { cwd: project }).catch(
      (error: unknown) => ({
        stdout: String(Reflect.get(error as object, 'stdout')),
      }),
    )
    expect(stdout).toBe('')
  })

  test('the command says what it can do', async ({ skip }) => {
    if (project === null) return skip('the npm registry cannot be reached')
    const { stdout } = await run(join(project, 'node_modules', '.bin', 'tributary'), ['--help'])
    expect(stdout).toContain('DATABASE_URL')
  })
})

const STRICT = {
  compilerOptions: {
    target: 'ES2023',
    lib: ['ES2023'],
    module: 'NodeNext',
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    verbatimModuleSyntax: true,
    skipLibCheck: true,
    noEmit: true,
  },
}

/** As an embedder would write it; a type that became `any` would let the last line pass. */
const EMBEDDING = `
import { createServer } from 'node:http'
import { Server } from '@tus/server'
import {
  DiskByteStore, extendServer, openParallelStore, openPostgresLocker, type OpenParallelStoreOptions,
  ParallelStore, TusByteStore, type Upload, UploadError,
} from 'tus-tributary'

const options: OpenParallelStoreOptions = { database: 'postgres://localhost/app', bytes: { directory: 'data' } }
const store = await openParallelStore(options)
const tus = extendServer(new Server({ path: '/files', datastore: store, locker: store.locker }), {
  identify: (request) => request.headers['x-user']?.toString() ?? null,
})
store.events.on('upload_completed', ({ upload }) => {
  const told: Upload = upload
  console.log(told.filename)
})
createServer((request, response) => void tus.handle(request, response))
const { locker } = await openPostgresLocker({ database: { host: 'localhost' } })
new Server({ path: '/files', datastore: new ParallelStore({ engine: store.engine, expiration: null }), locker })
new DiskByteStore({ directory: 'data', durability: 'strict' })
const bytes: OpenParallelStoreOptions['bytes'] = new TusByteStore(store)
export { bytes, UploadError }
// @ts-expect-error a number is no database
await openParallelStore({ database: 1, bytes })
`

/** Names src/index.ts exports as values. */
async function exportedValues(): Promise<readonly string[]> {
  const text = await readFile(join(ROOT, 'src', 'index.ts'), 'utf8')
  const lists = [...text.matchAll(/^export \{([^}]*)\}/gm)].map(([, names = '']) => names)
  return lists.flatMap((names) => names.split(',').map((name) => name.trim())).filter((name) => name !== '')
}
