import type { Connection } from '../../stores/postgres/database.js'

/** What a worker is given when it is started. */
export interface WorkerTask {
  /** Of the embedded database; null: the settings say where the database is. */
  readonly connection: Connection | null
}

/** What the primary tells a worker: which port to open, to end in order, to end soon. */
export type ToWorker = { readonly listen: number } | { readonly end: 'in order' | 'soon' }

/** What a worker tells its primary. */
export interface FromWorker {
  /**
   * From now on it hears what it is told; only its port is not open yet; it accepts connections, at the address in
   * `text`; it cannot start, for what `text` says.
   */
  readonly kind: 'hearing' | 'prepared' | 'listening' | 'failed'
  readonly text: string
}
