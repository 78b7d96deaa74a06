import { open, stat } from 'node:fs/promises'
import type { Logger } from '../../src/upload/log.js'
import { parseTokenList, type TokenList, TokenListProblem } from './token-list.js'

export interface TokenFileOptions {
  readonly path: string
  readonly log: Logger
  /** Time in ms, as `performance.now` has it. For tests. */
  readonly clock?: () => number
}

/** Between two looks at the file, in ms. */
const LOOK_EVERY = 1_000

/** A file changed a moment ago may be half written: a line cut short could give a token to somebody else. In ms. */
const SETTLED = 100

/** Room for some hundred thousand users. A file beyond it is not a list of tokens. */
const LARGEST = 64 * 1024 * 1024

/** What tells one state of a file from another. */
type State = string

/**
 * Tokens from a file that is read again when it changed, at the first request a second or more after the last look. An
 * edit that cannot be understood is logged, and the list before it stays.
 */
export class TokenFile {
  readonly #path: string
  readonly #log: Logger
  readonly #clock: () => number
  #list: TokenList
  /** Of the file as it was last read, or tried to. */
  #state: State
  #lookAt: number
  #looking: Promise<void> | null = null

  private constructor({ path, log, clock }: Required<TokenFileOptions>, list: TokenList, state: State) {
    this.#path = path
    this.#log = log
    this.#clock = clock
    this.#list = list
    this.#state = state
    this.#lookAt = clock() + LOOK_EVERY
  }

  /** Reads the file. Rejects with what the system says of it, or with a TokenListProblem. */
  static async open(options: TokenFileOptions): Promise<TokenFile> {
    const { list, state } = await read(options.path)
    if (list.size === 0) {
      options.log.warn({ path: options.path }, 'the file of tokens has none: by token nobody gets in')
    }
    return new TokenFile({ clock: () => performance.now(), ...options }, list, state)
  }

  async ownerOf(token: string): Promise<string | null> {
    if (this.#clock() >= this.#lookAt) this.#beginToLook()
    await this.#looking
    return this.#list.ownerOf(token)
  }

  #beginToLook(): void {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null
    })
  }

  async #look(): Promise<void> {
    this.#lookAt = this.#clock() + LOOK_EVERY
    let state = 'unreadable'
    try {
      const facts = await stat(this.#path, { bigint: true })
      state = stateOf(facts)
      if (state === this.#state) return
      if (isFresh(Number(facts.mtimeMs))) {
        this.#lookAt = this.#clock() + SETTLED
        return
      }
      const file = await read(this.#path)
      state = file.state
      this.#list = file.list
      this.#log.info({ path: this.#path, tokens: file.list.size }, 'the file of tokens was read again')
    } catch (error) {
      // Said once for each state of the file, not once a second.
      if (state !== this.#state) this.#complain(error)
    }
    this.#state = state
  }

  #complain(error: unknown): void {
    this.#log.error(
      { err: error, path: this.#path },
      'the file of tokens cannot be used as it is now; the tokens read before stay valid',
    )
  }
}

function isFresh(changedAt: number): boolean {
  const age = Date.now() - changedAt
  // A time in the future is a clock that differs: waiting for it to pass could take for ever.
  return age >= 0 && age < SETTLED
}

async function read(path: string): Promise<{ readonly list: TokenList; readonly state: State }> {
  // Opening a pipe would wait for whoever writes into it.
  if (!(await stat(path)).isFile()) throw new TokenListProblem('it is not a file')
  const file = await open(path, 'r')
  try {
    const facts = await file.stat({ bigint: true })
    if (facts.size > LARGEST) throw new TokenListProblem(`it is larger than ${LARGEST} bytes`)
    // The state before the reading: what is written meanwhile is noticed at the next look.
    return { list: parseTokenList(await file.readFile()), state: stateOf(facts) }
  } finally {
    await file.close()
  }
}

function stateOf({ ino, size, mtimeNs }: { ino: bigint; size: bigint; mtimeNs: bigint }): State {
  return `${ino} ${size} ${mtimeNs}`
}
