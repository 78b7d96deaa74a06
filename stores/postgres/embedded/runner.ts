import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { parse } from 'node:path'
import { promisify } from 'node:util'
import type { Binaries } from './binaries.js'
import { codeOf, EmbeddedPostgresError, messageOf } from './error.js'

/**
 * - `direct`: as the user we are
 * - `owner`: root, on data of some other account: as that account, with none of root's powers
 * - `unshare`: in a user namespace where our uid is called otherwise; files stay ours
 * - `setpriv`: root without user namespaces: as another uid that keeps CAP_DAC_OVERRIDE, to pass 0700
 *   directories
 */
export type Method = 'direct' | 'owner' | 'unshare' | 'setpriv'

export interface Account {
  readonly uid: number
  readonly gid: number
}

export interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly uid?: number
  readonly gid?: number
}

/** One way to run a program of Postgres, which refuses to be root. */
export interface Runner {
  readonly method: Method
  /** Whom Postgres runs as, where that account has none of our rights. */
  readonly account?: Account
  /** Who must own the data directory; undefined where its owner needs no care. */
  readonly dataOwner?: Account
  /** Who must own it while initdb runs, which wants an account with a name. */
  readonly initOwner?: Account
  run(binary: string, args: readonly string[]): Command
  initialize(binary: string, args: readonly string[]): Command
}

/**
 * The uid of data that `setpriv` runs on. No account has it: systemd's table of uids leaves 60578 to 61183
 * free, and it is below 65536, which is all that a container usually maps. `nobody` would not do: other
 * daemons are nobody too, and a configuration file of a process with CAP_DAC_OVERRIDE must be writable by
 * nobody else.
 */
const SERVICE: Account = { uid: 60_909, gid: 60_909 }
const OVERFLOW_UID = 65_534

/** The system's own directories only; our environment (secrets, PG*) is not Postgres' business. */
export const ENVIRONMENT: NodeJS.ProcessEnv | undefined =
  process.platform === 'win32'
    ? undefined
    : { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' }

/** @param dataOwner the owner of the existing data directory; undefined on the first start */
export async function chooseRunner(
  binaries: Binaries,
  dataOwner: number | undefined,
  allowed: readonly Method[] | undefined,
): Promise<Runner> {
  const reasons: string[] = []
  for (const runner of await candidates(dataOwner)) {
    if (allowed !== undefined && !allowed.includes(runner.method)) continue
    try {
      await runToEnd(runner.run(binaries.postgres, ['--version']))
      return runner
    } catch (error) {
      reasons.push(`${runner.method}: ${messageOf(error)}`)
    }
  }
  throw cannotRun(reasons)
}

async function candidates(dataOwner: number | undefined): Promise<Runner[]> {
  const me = process.getuid?.()
  if (me === undefined) return [direct()]
  const named = await namedAccount()
  const namespace = named === undefined ? [] : [unshare(named)]
  if (me !== 0) {
    if (dataOwner !== undefined && dataOwner !== me) throw foreignData(dataOwner)
    // initdb looks up our name; a container started with an arbitrary uid has none.
    return dataOwner !== undefined || hasName() ? [direct()] : namespace
  }
  const capability = named === undefined ? [] : [setpriv(named)]
  if (dataOwner === undefined || dataOwner === 0) return [...namespace, ...capability]
  // What ran yesterday very likely runs today, and leaves the files as they are.
  if (dataOwner === SERVICE.uid) return [...capability, ...namespace]
  return [asOwner(dataOwner)]
}

function direct(): Runner {
  const run = (file: string, args: readonly string[]): Command => ({ file, args })
  return { method: 'direct', run, initialize: run }
}

/**
 * Root does not lend its powers to a configuration that another account may edit. That account could run this
 * data before, so it reaches the binaries; if not, the probe says so.
 */
function asOwner(uid: number): Runner {
  const account = { uid, gid: uid }
  const run = (file: string, args: readonly string[]): Command => ({ file, args, ...account })
  return { method: 'owner', account, run, initialize: run }
}

function unshare(named: Account): Runner {
  const map = ['--user', `--map-user=${named.uid}`, `--map-group=${named.gid}`]
  const run = (binary: string, args: readonly string[]): Command => ({
    file: 'unshare',
    args: [...map, binary, ...args],
  })
  const me = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  return { method: 'unshare', dataOwner: me, run, initialize: run }
}

function setpriv(named: Account): Runner {
  const as =
    (account: Account) =>
    (binary: string, args: readonly string[]): Command => ({
      file: 'setpriv',
      args: [
        ...['--reuid', String(account.uid), '--regid', String(account.gid), '--clear-groups'],
        // Without this bit the change of uid drops the capability before the binary is executed, and one that
        // lies under a 0700 directory of root is refused.
        ...['--securebits', '+no_setuid_fixup'],
        ...['--inh-caps=+dac_override', '--ambient-caps=+dac_override'],
        ...[binary, ...args],
      ],
    })
  return { method: 'setpriv', dataOwner: SERVICE, initOwner: named, run: as(SERVICE), initialize: as(named) }
}

function hasName(): boolean {
  try {
    userInfo()
    return true
  } catch (error) {
    if (codeOf(error) === 'ERR_SYSTEM_ERROR') return false
    throw error
  }
}

/**
 * Any account but root will do. In a namespace the overflow uid would also be the name of every unmapped
 * owner.
 */
async function namedAccount(): Promise<Account | undefined> {
  const accounts = (await readAccounts()).filter(({ uid }) => uid !== 0)
  return accounts.find(({ uid }) => uid !== OVERFLOW_UID) ?? accounts[0]
}

async function readAccounts(): Promise<Account[]> {
  try {
    const lines = (await readFile('/etc/passwd', 'utf8')).split('\n')
    const entries = lines.map((line) => line.split(':')).filter((fields) => fields.length >= 4)
    return entries.map((fields) => ({ uid: Number(fields[2]), gid: Number(fields[3]) }))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
}

/** Runs a program that ends by itself; rejects with what it printed. */
export async function runToEnd(command: Command): Promise<void> {
  const { file, args, ...account } = command
  const options = { ...account, cwd: parse(process.execPath).root, ...(ENVIRONMENT && { env: ENVIRONMENT }) }
  try {
    await promisify(execFile)(file, [...args], options)
  } catch (error) {
    const printed = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : ''
    throw new Error(printed || messageOf(error), { cause: error })
  }
}

function foreignData(owner: number): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'embedded_postgres_cannot_run',
    `The database in DATA_DIR belongs to uid ${owner}: run the server as that user, give another DATA_DIR, ` +
      'or set DATABASE_URL',
  )
}

function cannotRun(reasons: readonly string[]): EmbeddedPostgresError {
  const tried = reasons.length === 0 ? '' : ` (${reasons.join('; ')})`
  const refused =
    process.getuid?.() === 0
      ? 'PostgreSQL does not run as root, and neither a user namespace (unshare) nor another uid (setpriv) works here'
      : 'PostgreSQL does not run here'
  return new EmbeddedPostgresError(
    'embedded_postgres_cannot_run',
    `${refused}: run the server as a normal user, or set DATABASE_URL to a PostgreSQL of your own${tried}`,
  )
}
