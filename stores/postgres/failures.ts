import { UploadError } from '../../src/upload/errors.js'

/** SQLSTATE classes and codes after which the same statement may well work a moment later. */
const AWAY = new Set([
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now: starting up, shutting down, recovering
  '53000', // insufficient_resources
  '53200', // out_of_memory
  '53300', // too_many_connections
  '53400', // configuration_limit_exceeded
  '25006', // read_only_sql_transaction: a standby, in the middle of a fail-over
  '57014', // query_canceled: our statement_timeout
])

/** Not away: it answers, and goes on answering this until somebody makes room. */
const DISK_FULL = '53100'

/** Errors of the socket below the protocol. */
const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
])

/** Two transactions met in an order that cannot be: one of them simply runs again. */
const AGAIN = new Set([
  '40001', // serialization_failure
  '40P01', // deadlock_detected
])

function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  return typeof code === 'string' ? code : ''
}

export function isRetryable(error: unknown): boolean {
  return AGAIN.has(codeOf(error))
}

/** Whether pg gave up on an answer, in the one way it says so. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout'
}

/** Whether the database is away rather than the statement wrong. */
export function isAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = codeOf(error)
  if (isUnanswered(error)) return true
  if (AWAY.has(code) || UNREACHABLE.has(code) || code.startsWith('08')) return true
  // pg and tarn say these without a code: the connection ended below a query, or none was to be had in time. Knex puts
  // the statement before what pg says of it.
  return (
    error.name === 'KnexTimeoutError' ||
    error.name === 'TimeoutError' ||
    /(?:^| - )(Connection terminated|timeout expired|timeout exceeded|Client has encountered a connection error)/.test(
      error.message,
    ) ||
    /^(Unable to acquire a connection|aborted|Connection ended)/.test(error.message)
  )
}

/** The coded error for callers; `error` stays its cause. */
export function translate(error: unknown): unknown {
  if (codeOf(error) === DISK_FULL) {
    return new UploadError('storage_full', 'The database has no room for more records.', { cause: error })
  }
  if (!isAway(error)) return error
  return new UploadError(
    'registry_unavailable',
    'The database cannot be reached at the moment; try again shortly.',
    {
      cause: error,
    },
  )
}
