import { setTimeout as sleep } from 'node:timers/promises'
import type { Bytes } from './bytes.js'
import { isRefusal } from './storage-error.js'

const TRIES = 5
/** The first pause, in ms; each further is twice as long, and half of it is left to chance. */
const PAUSE_MS = 100

/** Sends a body again that the SDK can send once only, where another try may do. */
export async function again<T>(attempt: () => Promise<T>, body?: Bytes): Promise<T> {
  for (let count = 1; ; count++) {
    try {
      return await attempt()
    } catch (error) {
      body?.failed?.()
      if (count === TRIES || isRefusal(error)) throw error
    }
    await sleep(PAUSE_MS * 2 ** (count - 1) * (0.5 + Math.random() / 2))
  }
}
