import { setTimeout as sleep } from 'node:timers/promises'
import type { Bytes } from './bytes.js'
import { isPassing, isRefusal } from './storage-error.js'

const TRIES = 5
/** So many, of about half a minute in all, where the provider asks for patience: told so, all clients would come again at once. */
const PATIENT_TRIES = 10
/** The first pause, in ms; each further is twice as long up to the longest, and half of it is left to chance. */
const PAUSE_MS = 100
const LONGEST_PAUSE_MS = 8_000

/** Sends a body again that the SDK can send once only, where another try may do, and nobody gave it up. */
export async function again<T>(attempt: () => Promise<T>, body?: Bytes, signal?: AbortSignal): Promise<T> {
  for (let count = 1; ; count++) {
    try {
      return await attempt()
    } catch (error) {
      body?.failed?.()
      signal?.throwIfAborted()
      if (count === (isPassing(error) ? PATIENT_TRIES : TRIES) || isRefusal(error)) throw error
    }
    const pause = Math.min(LONGEST_PAUSE_MS, PAUSE_MS * 2 ** (count - 1))
    await sleep(pause * (0.5 + Math.random() / 2), undefined, { ...(signal && { signal }) })
  }
}
