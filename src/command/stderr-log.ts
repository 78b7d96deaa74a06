import { pino } from 'pino'
import type { Logger } from '../upload/log.js'

/** Lines of requests wait for others for so many ms, or until there are so many bytes of them: a call for each took a tenth of a HEAD. */
const GATHER_MS = 100
const GATHERED_BYTES = 8 * 1024

/** `warn` and above, as pino numbers levels. */
const WARN = 40

/**
 * JSON lines on stderr. Warnings and errors, with whatever was said before them, are written before the call returns, and the
 * rest when the process exits: its last words must not be lost. Who kills it may lose a tenth of a second of other lines.
 */
export function stderrLog(): Logger {
  const stderr = pino.destination({
    ...{ dest: 2, sync: true },
    ...{ minLength: GATHERED_BYTES, periodicFlush: GATHER_MS },
  })
  process.once('exit', () => stderr.flushSync())
  return pino(
    {
      hooks: {
        logMethod(words, log, level) {
          log.apply(this, words)
          if (level >= WARN) stderr.flushSync()
        },
      },
    },
    stderr,
  )
}
