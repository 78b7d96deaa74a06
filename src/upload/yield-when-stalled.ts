/** How long a source may stand still, in ms, once somebody else asks for its range. */
const STALLED_MS = 1_000

/**
 * Follows the wish of somebody else to have a range that is being written. A chunk that still flows is soon through, and
 * whoever asked then sees it as received; one whose client is gone without a word must not keep anybody waiting.
 */
export function yieldWhenStalled(yielded: AbortSignal): {
  /** Aborts when the range is to be given up. */
  readonly signal: AbortSignal
  /** To be called whenever bytes have come. */
  moved(): void
  stop(): void
} {
  const giveUp = new AbortController()
  let last = performance.now()
  let timer: NodeJS.Timeout | null = null
  const look = () => {
    const left = STALLED_MS - (performance.now() - last)
    if (left <= 0) giveUp.abort()
    else timer = setTimeout(look, left)
  }
  yielded.addEventListener('abort', look, { once: true })
  if (yielded.aborted) look()
  return {
    signal: giveUp.signal,
    moved: () => {
      last = performance.now()
    },
    stop: () => {
      yielded.removeEventListener('abort', look)
      if (timer !== null) clearTimeout(timer)
    },
  }
}
