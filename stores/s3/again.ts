import { setTimeout as sleep } from 'node:timers/promises'

const TRIES = 5
/** The first pause, in ms; each further is twice as long, and half of it is left to chance. */
const PAUSE_MS = 100

/** What the provider takes back later: it has too much to do, or gave up on a slow body. */
const PASSING = new Set(['SlowDown', 'RequestTimeout', 'Throttling', 'TooManyRequests', 'InternalError'])

/**
 * Sends a body again that the SDK can send once only, where another try may do: not where the provider said that the request itself is
 * wrong.
 */
export async function again<T>(attempt: () => Promise<T>): Promise<T> {
  for (let count = 1; ; count++) {
    try {
      return await attempt()
    } catch (error) {
      if (count === TRIES || isRefusal(error)) throw error
    }
    await sleep(PAUSE_MS * 2 ** (count - 1) * (0.5 + Math.random() / 2))
  }
}

/** Errors of the network have no fault. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof Error) || PASSING.has(error.name)) return false
  return '$fault' in error && error.$fault === 'client'
}
