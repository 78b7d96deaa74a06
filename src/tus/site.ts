import type { ServerOptions } from '@tus/server'
import type { Identify } from '../http/identity.js'
import type { InFlight } from '../http/in-flight.js'
import type { Engine } from '../upload/engine.js'
import type { InheritedUploads } from './inherited.js'
import type { RouteHandler, TusListeners } from './listeners.js'

/** One extended server: what every verb works with besides the request. */
export interface Site {
  readonly engine: Engine
  /** The server's own options, read at every request. */
  readonly options: ServerOptions
  /** Without one everybody is the anonymous owner. */
  readonly identify: Identify | null
  /** How long a client may send nothing while its body is awaited, in ms; null: for ever. */
  readonly idleTimeout: number | null
  readonly inFlight: InFlight
  readonly listeners: TusListeners
  /** Uploads of a store that was in use before; null when there was none. */
  readonly inherited: InheritedUploads | null
  /** Paths given to `server.get`. */
  readonly routes: ReadonlyMap<string, RouteHandler>
}
