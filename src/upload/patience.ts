import { setTimeout as sleep } from 'node:timers/promises'
import { isUploadError } from './errors.js'

/** How long a database that is away is waited for, in ms, where waiting saves the client more than an error would. */
const DATABASE_MS = 10_000

const PAUSE_MS = 100

/** Runs `attempt`, again and again while the registry is unavailable, for up to 10 s (DESIGN, HEAD). */
export async function patiently<T>(attempt: () => Promise<T>, milliseconds = DATABASE_MS): Promise<T> {
  const deadline = performance.now() + milliseconds
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      const passing = isUploadError(error) && error.code === 'registry_unavailable'
      if (!passing || performance.now() >= deadline) throw error
    }
    await sleep(PAUSE_MS)
  }
}
