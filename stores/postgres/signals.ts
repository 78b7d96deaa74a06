import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import pg from 'pg'
import type { Logger } from '../../src/upload/log.js'
import { ANSWER_TIMEOUT, type Connection, type Database } from './database.js'

const RECONNECT_MS = 500
const PROBE_MS = 1_000

/** How often the listening connection is asked whether it lives, and how long its answer may take, in ms. */
const PULSE_MS = 5_000

/** How long the end of a connection is waited for, in ms: on a silent network TCP takes a quarter of an hour. */
const GOODBYE_MS = 1_000

/**
 * What nodes say to each other through NOTIFY. Messages are hints: whoever waits also looks for itself now and then,
 * so a lost one costs time, never correctness. Events: `yield <token>`, `handed <upload id>`,
 * `digest <upload id>`, `unlocked <key>`, `yield-lock <token>`; and `lost` and `reconnected` around a gap in which messages are missed.
 */
export class Signals {
  readonly #connection: Connection
  readonly #database: Database
  readonly #log: Logger
  readonly #heard = new EventEmitter().setMaxListeners(0)
  #client: pg.Client | null = null
  /** The connection that is being made. */
  #coming: pg.Client | null = null
  #retry: NodeJS.Timeout | null = null
  #closed = false
  /** Whether messages arrive; false behind a transaction pooler, where LISTEN reaches nobody. */
  listening = false

  constructor(connection: Connection, database: Database, log: Logger) {
    this.#connection = connection
    this.#database = database
    this.#log = log
  }

  async open(): Promise<void> {
    await this.#connect()
    this.listening = await this.#probe()
    if (this.listening) return
    this.#log.warn(
      {},
      'LISTEN does not work here (a pooler?): holders are polled; a DATABASE_DIRECT_URL around it would mend that',
    )
    await this.#hangUp()
  }

  /** `message` is a whole message, or its first word: then the listener is given the rest. */
  on(message: string, listener: (rest: string) => void): () => void {
    this.#heard.on(message, listener)
    return () => this.#heard.off(message, listener)
  }

  async close(): Promise<void> {
    this.#closed = true
    if (this.#retry) clearTimeout(this.#retry)
    this.#coming?.connection.stream.destroy(new Error('closed'))
    await this.#hangUp()
  }

  async #connect(): Promise<void> {
    const settings =
      typeof this.#connection === 'string' ? { connectionString: this.#connection } : this.#connection
    const client = new pg.Client({
      ...settings,
      application_name: 'tributary listener',
      keepAlive: true,
      connectionTimeoutMillis: 5_000,
      query_timeout: ANSWER_TIMEOUT,
    })
    client.on('error', (error) => this.#lost(client, error))
    client.on('end', () => this.#lost(client, null))
    client.on('notification', ({ payload }) => this.#hear(payload ?? ''))
    this.#coming = client
    try {
      await client.connect()
      await client.query(`listen "${this.#database.channel.replaceAll('"', '""')}"`)
      if (this.#closed) throw new Error('closed')
    } catch (error) {
      // A standby takes connections and refuses to listen: each attempt would leave one behind.
      await this.#end(client)
      throw error
    } finally {
      this.#coming = null
    }
    this.#client = client
    this.#feelPulse(client)
  }

  /**
   * Nothing is ever sent on a connection that only listens, so the system would notice its end after hours: as long as
   * that, nobody here would hear that an upload is asked for.
   */
  #feelPulse(client: pg.Client): void {
    const timer = setInterval(() => {
      if (this.#client !== client) {
        clearInterval(timer)
        return
      }
      const late = setTimeout(() => client.connection.stream.destroy(), PULSE_MS - 1_000)
      client
        .query('select 1')
        .catch((error: unknown) => this.#log.debug({ err: error }, 'the listener has no pulse'))
        .finally(() => clearTimeout(late))
    }, PULSE_MS).unref()
  }

  #hear(message: string): void {
    this.#heard.emit(message, '')
    const space = message.indexOf(' ')
    if (space > 0) this.#heard.emit(message.slice(0, space), message.slice(space + 1))
  }

  /** A message sent through the pool must come in on the listening connection. */
  async #probe(): Promise<boolean> {
    const message = `probe ${randomUUID()}`
    const heard = new Promise<boolean>((resolve) => {
      const off = this.on(message, () => resolve(true))
      setTimeout(() => {
        off()
        resolve(false)
      }, PROBE_MS).unref()
    })
    await this.#database.rows('notify', 'select pg_notify(?, ?)', [this.#database.channel, message])
    return heard
  }

  #lost(client: pg.Client, error: Error | null): void {
    if (this.#client !== client || this.#closed) return
    this.#client = null
    this.listening = false
    this.#heard.emit('lost', '')
    this.#log.warn({ err: error }, 'the listening connection was lost')
    this.#reconnect()
  }

  #reconnect(): void {
    if (this.#closed || this.#retry) return
    this.#retry = setTimeout(() => {
      this.#retry = null
      this.#connect().then(
        () => {
          this.listening = true
          this.#heard.emit('reconnected', '')
        },
        () => this.#reconnect(), // the pool reports what is wrong to those who wait for answers
      )
    }, RECONNECT_MS)
    this.#retry.unref()
  }

  async #hangUp(): Promise<void> {
    const client = this.#client
    this.#client = null
    if (client !== null) await this.#end(client)
  }

  async #end(client: pg.Client): Promise<void> {
    const late = setTimeout(() => client.connection.stream.destroy(), GOODBYE_MS)
    try {
      await client.end()
    } catch (error) {
      this.#log.debug({ err: error }, 'the listener had ended already')
    } finally {
      clearTimeout(late)
    }
  }
}
