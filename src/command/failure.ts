/** A start that failed for a reason whoever started it can put right: one sentence, no stack. */
export class StartFailure extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'StartFailure'
  }
}

/**
 * Runs a step of the start. What the system, the database or our own coded errors say becomes a sentence, after
 * `subject` where they cannot know it; an error without a code is a bug of ours and passes as it is, with its stack.
 */
export async function starting<T>(subject: string | null, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    if (error instanceof StartFailure || codeOf(error) === null) throw error
    throw subject === null ? new StartFailure(reason(error), { cause: error }) : blaming(subject, error)
  }
}

/** The sentence for a start that `error` ended, after the setting to blame. */
export function blaming(subject: string, error: unknown): StartFailure {
  return new StartFailure(`${subject}: ${reason(error)}`, { cause: error })
}

/** The sentence for a port that cannot be opened. */
export function listenFailure(error: unknown, host: string, port: number): unknown {
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return new StartFailure(
        `PORT: ${port} is in use on ${host}; give another PORT, or end what listens there`,
      )
    case 'EACCES':
      return new StartFailure(`PORT: this user may not listen on ${port}; give a PORT above 1023`)
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new StartFailure(`HOST: ${host} is not an address of this machine (${reason(error)})`)
    default:
      return error
  }
}

function codeOf(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null
  return typeof error.code === 'string' ? error.code : null
}

/** The innermost cause says what happened; the errors around it say what was attempted. */
function reason(error: unknown): string {
  const causes: string[] = []
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    // Node's error for a host with several addresses has a code but no message.
    const said = oneLine(at.message || codeOf(at) || at.name)
    if (!causes.includes(said)) causes.push(said)
  }
  return causes.join(': ')
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim().replace(/\.$/, '')
}
