import { EventEmitter } from 'node:events'
import type { Logger } from './log.js'
import type { Upload } from './upload.js'

/** What listeners are told, by event name. */
export interface UploadEventMap {
  /** The record of a new upload is committed; no answer has been sent yet. Finals included. */
  upload_started: [{ upload: Upload }]
  /** Bytes `[start, stop)` became received. Not fired for bytes already there. */
  chunk_received: [{ upload: Upload; start: number; stop: number }]
  /** The upload became complete, of any kind: look at `upload.kind`. Fired once, by the process that completed it. */
  upload_completed: [{ upload: Upload }]
  /** A digest did not fit; nothing of the checked bytes was kept (tus), or the upload stays open (frago). */
  checksum_failed: [{ upload: Upload }]
  /** The content of a final, or of an upload whose chunks lay in several blobs, now lies in one. */
  upload_assembled: [{ upload: Upload }]
  /** The upload expired, or a waiting final lost a part. Its bytes are gone or going. */
  upload_expired: [{ upload: Upload }]
  /** The upload was removed on request. */
  upload_terminated: [{ upload: Upload }]
}

export type UploadEventName = keyof UploadEventMap

/**
 * Tells listeners what happened to uploads, after it is committed. A listener that throws or rejects is logged and
 * changes nothing: neither the answer to a client nor the next listener (frago let one turn a finished upload
 * into a 500). Delivery is at most once: a process killed between its commit and the call tells nobody.
 */
export class UploadEvents {
  readonly #emitter = new EventEmitter({ captureRejections: false })
  readonly #log: Logger

  constructor(log: Logger) {
    this.#log = log
    this.#emitter.setMaxListeners(0)
  }

  on<Name extends UploadEventName>(
    name: Name,
    listener: (...args: UploadEventMap[Name]) => void | Promise<void>,
  ): this {
    this.#emitter.on(name, listener)
    return this
  }

  off<Name extends UploadEventName>(
    name: Name,
    listener: (...args: UploadEventMap[Name]) => void | Promise<void>,
  ): this {
    this.#emitter.off(name, listener)
    return this
  }

  tell<Name extends UploadEventName>(name: Name, ...args: UploadEventMap[Name]): void {
    for (const listener of this.#emitter.listeners(name)) this.#call(name, listener, args)
  }

  #call(name: UploadEventName, listener: unknown, args: readonly unknown[]): void {
    const failed = (error: unknown) => this.#log.error({ err: error, event: name }, 'a listener failed')
    try {
      const result: unknown = (listener as (...all: readonly unknown[]) => unknown)(...args)
      if (result instanceof Promise) result.catch(failed)
    } catch (error) {
      failed(error)
    }
  }
}
