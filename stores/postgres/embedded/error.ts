export type EmbeddedPostgresErrorCode =
  | 'embedded_postgres_missing'
  | 'embedded_postgres_incomplete'
  | 'embedded_postgres_cannot_run'
  | 'embedded_postgres_failed'
  | 'embedded_postgres_died'
  | 'data_directory_in_use'

/**
 * Every way the embedded database can fail to serve. The message is a sentence for the person who started it.
 */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError'
  readonly code: EmbeddedPostgresErrorCode

  constructor(code: EmbeddedPostgresErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** The sentence is fixed by DESIGN ("Embedded default"); `pid` is the server that owns the directory. */
export function inUse(pid: number, options?: ErrorOptions): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'data_directory_in_use',
    `DATA_DIR is in use by pid ${pid}; give DATABASE_URL to run several servers`,
    options,
  )
}

/** The `code` that Node and Postgres put on their errors. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
