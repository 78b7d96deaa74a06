import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { onTestFinished } from 'vitest'
import type { Exit } from '../server-process.js'
import type { Task } from './sender.js'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const SOURCE = fileURLToPath(new URL('sender.ts', import.meta.url))

const LOOK_MS = 5

/** What a sender says when a chunk of it was acknowledged. */
export interface Acknowledged {
  readonly start: number
  readonly stop: number
  /** SHA-256 of what it sent. */
  readonly digest: string
}

/** Compiles the program of a sender into a directory; node 20 runs no TypeScript. */
export async function compileSender(directory: string): Promise<string> {
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  const options = [
    '--ignoreConfig',
    '--noCheck',
    '--target',
    'es2023',
    '--module',
    'nodenext',
    '--types',
    'node',
  ]
  await writeFile(join(directory, 'package.json'), JSON.stringify({ type: 'module' }))
  await promisify(execFile)(
    process.execPath,
    [tsc, ...options, '--rootDir', ROOT, '--outDir', directory, SOURCE],
    {
      cwd: ROOT,
    },
  )
  return join(directory, relative(ROOT, SOURCE).replace(/\.ts$/, '.js'))
}

/** Several processes that send one upload together. */
export class Senders {
  readonly #children: readonly ChildProcess[]
  readonly #output: string[]
  #errors = ''
  readonly exited: Promise<readonly Exit[]>

  private constructor(children: readonly ChildProcess[]) {
    this.#children = children
    this.#output = children.map(() => '')
    for (const [index, { stdout, stderr }] of children.entries()) {
      stdout?.setEncoding('utf8').on('data', (text: string) => {
        this.#output[index] += text
      })
      stderr?.setEncoding('utf8').on('data', (text: string) => {
        this.#errors += text
      })
    }
    this.exited = Promise.all(
      children.map((child) => once(child, 'close').then(([code, signal]) => ({ code, signal }))),
    )
  }

  static start(program: string, task: Omit<Task, 'share'>): Senders {
    const children = Array.from({ length: task.shares }, (_, share) =>
      spawn(process.execPath, [program, JSON.stringify({ ...task, share } satisfies Task)], {
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    )
    const senders = new Senders(children)
    onTestFinished(() => senders.kill())
    return senders
  }

  get errors(): string {
    return this.#errors
  }

  /** In no order. Complete once they have exited. */
  get acknowledged(): readonly Acknowledged[] {
    return this.#output.flatMap((output) =>
      output
        .split('\n')
        .slice(0, -1)
        .map((line) => {
          const [start, stop, digest = ''] = line.split(' ')
          return { start: Number(start), stop: Number(stop), digest }
        }),
    )
  }

  async kill(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL')
    await this.exited
  }

  /** Never rejects: senders that fail exit before. */
  async untilAcknowledged(count: number): Promise<void> {
    while (this.acknowledged.length < count && this.#isRunning) await sleep(LOOK_MS)
  }

  get #isRunning(): boolean {
    return this.#children.some(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
  }
}
