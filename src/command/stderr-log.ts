import { pino } from 'pino'
import type { Logger } from '../upload/log.js'

/** JSON lines on stderr, written before the call returns: the last words of a process must not be lost. */
export function stderrLog(): Logger {
  return pino({}, pino.destination({ dest: 2, sync: true }))
}
