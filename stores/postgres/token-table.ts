import { createHash } from 'node:crypto'
import { type Database, quoteIdentifier } from './database.js'

/** How long an answer is believed, in ms: a token that was withdrawn works no longer than this. */
const BELIEVED = 5_000

/** Answers remembered, of each kind. */
const MOST = 10_000

/** SQLSTATE of a text that the column's type cannot be, such as a word where uuids are: not one of its tokens. */
const NO_SUCH_VALUE: readonly string[] = ['22P02', '22003', '22007']

/**
 * Tokens from a table or view of somebody else's with the columns `token` and `owner`. A token without an owner is
 * nobody's.
 */
export class TokenTable {
  readonly #database: Database
  readonly #table: string
  readonly #clock: () => number
  readonly #known: Answers<string>
  readonly #unknown: Answers<null>
  readonly #asking = new Map<string, Promise<string | null>>()

  /** `table` is `name` or `schema.name`; without a schema it is looked up along the role's search_path. */
  constructor(database: Database, table: string, clock: () => number = () => performance.now()) {
    this.#database = database
    this.#table = table.split('.').map(quoteIdentifier).join('.')
    this.#clock = clock
    this.#known = new Answers(clock)
    // Apart, so that guesses push out guesses and no answer that somebody needs.
    this.#unknown = new Answers(clock)
  }

  /** Rejects with what the database says when there is no such table, or no such columns. */
  async check(): Promise<void> {
    await this.#database.knex.raw(`select token, owner::text from ${this.#table} limit 0`)
  }

  async ownerOf(token: string): Promise<string | null> {
    const key = createHash('sha256').update(token).digest('base64')
    const remembered = this.#known.get(key) ?? this.#unknown.get(key)
    if (remembered !== undefined) return remembered
    const asked = this.#asking.get(key) ?? this.#ask(key, token)
    this.#asking.set(key, asked)
    return asked
  }

  async #ask(key: string, token: string): Promise<string | null> {
    try {
      // The answer is as old as the question.
      const askedAt = this.#clock()
      const owner = await this.#find(token)
      if (owner === null) this.#unknown.set(key, null, askedAt)
      else this.#known.set(key, owner, askedAt)
      return owner
    } finally {
      this.#asking.delete(key)
    }
  }

  async #find(token: string): Promise<string | null> {
    const rows = await this.#database
      .rows<{ owner: string | null }>(
        'token_owner',
        `select owner::text as owner from ${this.#table} where token = ? limit 2`,
        [token],
      )
      .catch((error: unknown) => {
        if (NO_SUCH_VALUE.includes((error as { code?: string }).code ?? '')) return []
        throw error
      })
    const [row, other] = rows
    if (other !== undefined && other.owner !== row?.owner) {
      throw new Error(`A token stands in ${this.#table} twice, with two owners.`)
    }
    return row?.owner ?? null
  }
}

/** What was answered lately, the oldest forgotten first. */
class Answers<Answer> {
  readonly #clock: () => number
  readonly #answers = new Map<string, { readonly answer: Answer; readonly until: number }>()

  constructor(clock: () => number) {
    this.#clock = clock
  }

  get(key: string): Answer | undefined {
    const found = this.#answers.get(key)
    if (found === undefined) return undefined
    if (this.#clock() < found.until) return found.answer
    this.#answers.delete(key)
    return undefined
  }

  set(key: string, answer: Answer, at: number): void {
    this.#answers.delete(key)
    this.#answers.set(key, { answer, until: at + BELIEVED })
    if (this.#answers.size <= MOST) return
    const [oldest] = this.#answers.keys()
    if (oldest !== undefined) this.#answers.delete(oldest)
  }
}
