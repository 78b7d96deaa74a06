import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inject, onTestFinished } from 'vitest'
import { builtDist } from './built.js'
import type { Place } from './embedded-store.js'
import { databaseUrl } from './server-process.js'

const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url))

/** One of the examples, run as its first lines say. */
export class ExampleProcess {
  readonly #child: ChildProcess
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  output = ''

  private constructor(child: ChildProcess) {
    this.#child = child
    this.exited = once(child, 'close').then(([code, signal]) => ({ code, signal }))
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text
      })
    }
  }

  /** Resolves when it says where it listens. Killed when the test is over, if it still runs. */
  static async start(name: string, place: Place): Promise<ExampleProcess> {
    await builtDist()
    const child = spawn(process.execPath, [join(EXAMPLES, `${name}.mjs`)], {
      env: {
        PATH: process.env.PATH,
        DATABASE_URL: databaseUrl(inject('database')),
        DATABASE_SCHEMA: place.schema,
        DATA_DIR: place.directory,
        PORT: '0',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const example = new ExampleProcess(child)
    onTestFinished(async () => {
      child.kill('SIGKILL')
      await example.exited
    })
    while (example.#endpoint === undefined) await example.#more()
    return example
  }

  get endpoint(): string {
    return this.#endpoint ?? ''
  }

  /** Resolves with SIGTERM's effect. */
  async stop(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    this.#child.kill('SIGTERM')
    return this.exited
  }

  get #endpoint(): string | undefined {
    return /^(http:\/\/\S+)\n/m.exec(this.output)?.[1]
  }

  async #more(): Promise<void> {
    const { stdout } = this.#child
    if (stdout === null) throw new Error('the output of the example is not captured')
    const ended = await Promise.race([once(stdout, 'data').then(() => null), this.exited])
    if (ended !== null) throw new Error(`the example ended with ${JSON.stringify(ended)}:\n${this.output}`)
  }
}
