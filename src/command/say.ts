import { ConfigError } from '../config.js'
import { StartFailure } from './failure.js'

/** A line for whoever started the command. */
export function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** What whoever started the command is told of an error: a sentence where they can put it right, a stack for a bug. */
export function complaintOf(error: unknown): string {
  if (error instanceof StartFailure || error instanceof ConfigError) return error.message
  return (error instanceof Error && error.stack) || String(error)
}

export function complain(error: unknown): void {
  process.stderr.write(`${complaintOf(error)}\n`)
}
