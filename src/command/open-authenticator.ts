import type { Database } from '../../stores/postgres/database.js'
import { TokenTable } from '../../stores/postgres/token-table.js'
import { TokenFile } from '../../stores/tokens/token-file.js'
import type { AuthenticationConfig, TokenSetting } from '../config.js'
import { type Authenticator, authenticatorOf, type TokenSource } from '../http/authenticator.js'
import { JsonWebTokens } from '../http/json-web-tokens.js'
import type { Logger } from '../upload/log.js'
import { starting } from './failure.js'

export interface AuthenticatorPorts {
  /** Where `table:NAME` is looked up. */
  readonly database: Database
  readonly log: Logger
}

/**
 * What the settings say of who may use the server: tokens first, then JWTs. Null: nobody is asked. Throws a
 * StartFailure when the tokens cannot be had.
 */
export async function openAuthenticator(
  config: Pick<AuthenticationConfig, 'authTokens' | 'jwtSecret' | 'jwtJwksUrl'>,
  ports: AuthenticatorPorts,
): Promise<Authenticator | null> {
  const sources: TokenSource[] = []
  if (config.authTokens !== null) sources.push(await openTokens(config.authTokens, ports))
  const { jwtSecret: secret, jwtJwksUrl: jwksUrl } = config
  if (secret !== null || jwksUrl !== null) {
    sources.push(new JsonWebTokens({ secret, jwksUrl, log: ports.log }))
  }
  return sources.length === 0 ? null : authenticatorOf(sources)
}

async function openTokens(
  setting: TokenSetting,
  { database, log }: AuthenticatorPorts,
): Promise<TokenSource> {
  if ('file' in setting) {
    const subject = `AUTH_TOKENS: the file ${setting.file} cannot be used`
    return starting(subject, () => TokenFile.open({ path: setting.file, log }))
  }
  const table = new TokenTable(database, setting.table)
  const subject = `AUTH_TOKENS: the table ${setting.table} cannot be used, it needs the columns token and owner`
  await starting(subject, () => table.check())
  return table
}
