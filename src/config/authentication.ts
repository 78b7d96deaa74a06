import { mustBe, Problem } from './problem.js'
import type { SettingsReader } from './reader.js'
import { oneOf } from './values.js'

/** Where tokens are looked up: in a file, or in a table or view of the database (`name` or `schema.name`). */
export type TokenSetting = { readonly file: string } | { readonly table: string }

/** Whose upload it is. `anonymous`: nobody's. `user`: the authenticated user's. `device`: the authenticated device's. */
export type IdentifierMode = 'anonymous' | 'user' | 'device'

/** Who may use the server, and as whom. */
export interface AuthenticationConfig {
  /** AUTH_TOKENS. Null (default): no tokens. The file is read at the start, not here. */
  readonly authTokens: TokenSetting | null
  /** JWT_SECRET, for HS256, HS384 and HS512. Null (default): JWTs signed with a secret are refused. */
  readonly jwtSecret: string | null
  /** JWT_JWKS_URL. Null (default): JWTs signed with a private key are refused. */
  readonly jwtJwksUrl: string | null
  /**
   * CHUNKED_UPLOADER_IDENTIFIER_MODE. Default: `user` where AUTH_TOKENS or JWT_* is set, else `anonymous`. `user`
   * without any of them refuses every request.
   */
  readonly identifierMode: IdentifierMode
}

/** RFC 7518, 3.2: a key for HS256 has at least 256 bits. */
const SECRET_BYTES = 32

const AUTHENTICATION = ['AUTH_TOKENS', 'JWT_SECRET', 'JWT_JWKS_URL'] as const

export function readAuthentication(reader: SettingsReader): AuthenticationConfig {
  const authenticated = AUTHENTICATION.some((name) => reader.given(name) !== null)
  const config: AuthenticationConfig = {
    authTokens: reader.read('AUTH_TOKENS', tokenSetting, null),
    jwtSecret: reader.read('JWT_SECRET', (text) => text, null),
    jwtJwksUrl: reader.read('JWT_JWKS_URL', jwksUrl, null),
    identifierMode:
      reader.read('CHUNKED_UPLOADER_IDENTIFIER_MODE', identifierMode, null) ??
      (authenticated ? 'user' : 'anonymous'),
  }
  if (config.jwtSecret !== null && Buffer.byteLength(config.jwtSecret) < SECRET_BYTES) {
    reader.problem(
      'JWT_SECRET',
      `must have at least ${SECRET_BYTES} bytes, or whoever has one JWT can try secrets at leisure`,
    )
  }
  if (config.identifierMode === 'device' && !authenticated) {
    reader.problem(
      'CHUNKED_UPLOADER_IDENTIFIER_MODE',
      'device takes the device from the authentication, so it needs AUTH_TOKENS, JWT_SECRET or JWT_JWKS_URL',
    )
  }
  if (config.identifierMode === 'user' && !authenticated) {
    reader.warn(
      'CHUNKED_UPLOADER_IDENTIFIER_MODE',
      'user without AUTH_TOKENS, JWT_SECRET or JWT_JWKS_URL knows no users, so every request is refused with 403',
    )
  }
  return config
}

const TABLE = 'table:'

/** PostgreSQL's names are 63 bytes at most. Quotes and dots in names are given up for a notation without quoting. */
const TABLE_NAME = /^([A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,62}$/

function tokenSetting(text: string): TokenSetting {
  if (!text.startsWith(TABLE)) return { file: text }
  const table = text.slice(TABLE.length)
  if (!TABLE_NAME.test(table)) throw mustBe('the path of a file, table:NAME or table:SCHEMA.NAME', text)
  return { table }
}

/** The URL is not repeated in the sentence: it may hold a password. */
function jwksUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new Problem('must be a URL like https://login.example.com/.well-known/jwks.json')
  }
  if (url.username !== '' || url.password !== '') {
    throw new Problem('must be a URL without a user name and password, which fetch does not send')
  }
  return text
}

/** What else an override of frago's `get_identifier` made of the mode is a function of one's own here. */
function identifierMode(text: string): IdentifierMode {
  return oneOf('anonymous', 'user', 'device')(text)
}
