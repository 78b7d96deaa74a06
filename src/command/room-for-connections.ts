/** SQLSTATE too_many_connections. */
const NO_ROOM = '53300'

/** Longer than workers whose primary was killed take to end. */
const PATIENCE_MS = 10_000

const PAUSE_MS = 100

/**
 * Opens connections to the embedded database, again while it has none to give: the workers of a server that was killed
 * a moment ago still end what they were at, and keep theirs for as long.
 */
export async function whenThereIsRoom<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!isNoRoom(error) || performance.now() >= deadline) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
}

function isNoRoom(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return ('code' in error && error.code === NO_ROOM) || isNoRoom(error.cause)
}
