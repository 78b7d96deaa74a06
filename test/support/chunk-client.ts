import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { codeOf } from '../../stores/postgres/embedded/error.js'
import type { Exit } from './server-process.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const EXAMPLES = join(ROOT, 'examples')

/** Node 22.18 and newer. */
const RUNS_TYPESCRIPT = Reflect.get(process.features, 'typescript') === 'strip'

/** The examples that upload in chunks, by their languages. */
export const LANGUAGES = ['Python', 'TypeScript'] as const

export type Language = (typeof LANGUAGES)[number]

/** One of the examples, at work in a process of its own. */
export class ChunkClient {
  readonly #child: ChildProcess
  readonly exited: Promise<Exit>
  stdout = ''
  stderr = ''

  private constructor(child: ChildProcess) {
    this.#child = child
    this.exited = once(child, 'close').then(([code, signal]) => ({ code, signal }))
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
  }

  /** Killed when the test is over, if it still runs. */
  static start(language: Language, ...args: readonly string[]): ChunkClient {
    const [command, program] = commandOf(language)
    const child = spawn(command, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    const client = new ChunkClient(child)
    onTestFinished(async () => {
      await client.end('SIGKILL')
    })
    return client
  }

  async end(signal: NodeJS.Signals): Promise<Exit> {
    this.#child.kill(signal)
    return this.exited
  }
}

/** How the first lines of the examples say that they are run. */
export function commandOf(language: Language): readonly [command: string, program: string] {
  if (language === 'Python') return ['python3', join(EXAMPLES, 'upload_chunks.py')]
  const program = RUNS_TYPESCRIPT ? join(EXAMPLES, 'upload-chunks.ts') : join(compiled, 'upload-chunks.js')
  return [process.execPath, program]
}

/** Why an example cannot run here; null when it can. */
export async function obstacleTo(language: Language): Promise<string | null> {
  if (language === 'TypeScript') return null
  try {
    await promisify(execFile)('python3', ['-c', 'import sys; sys.exit(sys.version_info < (3, 8))'])
    return null
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? 'python3 is not installed' : 'python3 is older than 3.8'
  }
}

let compiled = ''

/** For the tests of a file: compiles as `npx tsc -p examples` does, but to where nobody else does so. */
export function compileExamples(): void {
  beforeAll(async () => {
    compiled = await mkdtemp(join(tmpdir(), 'tributary-examples-'))
    await writeFile(join(compiled, 'package.json'), JSON.stringify({ type: 'module' }))
    const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
    await promisify(execFile)(process.execPath, [tsc, '-p', EXAMPLES, '--outDir', compiled])
  })
  afterAll(() => rm(compiled, { recursive: true, force: true }))
}
