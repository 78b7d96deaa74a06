import { aborted } from './stop-signals.js'

/** Waits so many ms, or until the signal aborts: then it gives false. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds)
  })
  await Promise.race([over, aborted(signal)])
  clearTimeout(timer)
  return !signal.aborted
}
