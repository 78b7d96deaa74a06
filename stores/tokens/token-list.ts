import { createHash } from 'node:crypto'
import { isOwner, LONGEST_OWNER } from '../../src/upload/owner.js'

/** A list that cannot be taken as it is: one sentence, with the number of the line. It never shows a token. */
export class TokenListProblem extends Error {
  readonly code = 'token_list_unfit'

  constructor(message: string) {
    super(message)
    this.name = 'TokenListProblem'
  }
}

/**
 * Whose token is which. Tokens are kept and looked up by their SHA-256: how long a look takes tells nothing of the
 * tokens there are, and a copy of the memory shows none.
 */
export class TokenList {
  readonly #owners: ReadonlyMap<string, string>

  constructor(owners: ReadonlyMap<string, string>) {
    this.#owners = owners
  }

  get size(): number {
    return this.#owners.size
  }

  ownerOf(token: string): string | null {
    return this.#owners.get(fingerprint(token)) ?? null
  }
}

export function fingerprint(token: string): string {
  return createHash('sha256').update(token).digest('base64')
}

/** What a request can carry; more is refused there. */
const LONGEST_TOKEN = 8 * 1024

/**
 * Lines of `token user`; what follows the first blank is the user, who may have blanks in the name. Blank lines and
 * lines that begin with `#` say nothing. Throws a TokenListProblem at the first line that is none of these.
 */
export function parseTokenList(bytes: Uint8Array): TokenList {
  const owners = new Map<string, string>()
  const lines = new Map<string, number>()
  for (const [at, text] of decode(bytes).split(/\r?\n/).entries()) {
    const line = text.trim()
    if (line === '' || line.startsWith('#')) continue
    const [token, owner] = understand(line, at + 1)
    const key = fingerprint(token)
    const earlier = lines.get(key)
    if (earlier !== undefined) throw problem(at + 1, `has the token of line ${earlier}`)
    lines.set(key, at + 1)
    owners.set(key, owner)
  }
  return new TokenList(owners)
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new TokenListProblem('it is not UTF-8 text')
  }
}

function understand(line: string, number: number): readonly [string, string] {
  const [, token = '', owner = ''] = /^(\S+)\s*(.*)$/su.exec(line) ?? []
  if (!/^[\x21-\x7e]+$/.test(token)) throw problem(number, 'has a token that is not plain ASCII')
  if (token.length > LONGEST_TOKEN)
    throw problem(number, `has a token of more than ${LONGEST_TOKEN} characters`)
  if (owner === '') throw problem(number, 'has no user after the token')
  if (!isOwner(owner)) {
    throw problem(
      number,
      `has a user name of more than ${LONGEST_OWNER} characters, or with control characters`,
    )
  }
  return [token, owner]
}

function problem(line: number, what: string): TokenListProblem {
  return new TokenListProblem(`line ${line} ${what}`)
}
