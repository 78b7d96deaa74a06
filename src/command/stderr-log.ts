import { pino } from 'pino'
import type { Logger } from '../upload/log.js'
import { GatheredLines } from './gathered-lines.js'

/** `warn` and above, as pino numbers levels. */
const WARN = 40
const STDERR = 2

/**
 * JSON lines on stderr. Warnings and errors, with whatever was said before them, are written before the call returns, and the
 * rest when the process exits: its last words must not be lost. Who kills it may lose a tenth of a second of other lines.
 */
export function stderrLog(): Logger {
  const lines = new GatheredLines(STDERR)
  process.once('exit', () => lines.flush())
  const hooks = {
    logMethod(this: pino.Logger, words: Parameters<pino.LogFn>, log: pino.LogFn, level: number) {
      log.apply(this, words)
      if (level >= WARN) lines.flush()
    },
  }
  return pino({ hooks }, lines)
}
