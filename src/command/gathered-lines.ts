import { writeSync } from 'node:fs'

/** Lines wait for others for so many ms: a call for each took a tenth of a HEAD. */
const GATHER_MS = 100
/**
 * What is written in one call. A pipe takes no more than this without mixing it with what others write to it (PIPE_BUF of pipe(7)), and
 * workers share one.
 */
const MOST_BYTES = 4096
/**
 * A reader that does not keep up is waited for, so many ms in one call, and in all until it takes something again; then lines are lost, as
 * nobody may wait for a log for ever.
 */
const PATIENCE_MS = 2_000
const PAUSE_MS = 10

/**
 * Lines for a descriptor, some at a time. What cannot be written is dropped: a log whose reader is gone, or whose disk is full, must not
 * take the server along.
 */
export class GatheredLines {
  readonly #fd: number
  readonly #write: typeof writeSync
  #lines: Buffer[] = []
  #bytes = 0
  #timer: NodeJS.Timeout | null = null
  #isClosed = false
  #patience = PATIENCE_MS

  constructor(fd: number, write = writeSync) {
    this.#fd = fd
    this.#write = write
  }

  /** One line, with its end. */
  write(line: string): void {
    if (this.#isClosed) return
    const bytes = Buffer.from(line)
    if (this.#bytes + bytes.length > MOST_BYTES) this.flush()
    this.#lines.push(bytes)
    this.#bytes += bytes.length
    this.#timer ??= setTimeout(() => this.flush(), GATHER_MS).unref()
  }

  /** Writes what waits before it returns. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    const lines = Buffer.concat(this.#lines.splice(0))
    this.#bytes = 0
    const deadline = performance.now() + this.#patience
    for (let written = 0; written < lines.length && !this.#isClosed; ) {
      try {
        written += this.#write(this.#fd, lines, written)
        this.#patience = PATIENCE_MS
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? error.code : undefined
        // Nobody reads it any more, nor will.
        this.#isClosed = code === 'EPIPE' || code === 'EBADF'
        if (code !== 'EAGAIN') return
        this.#patience = Math.max(0, deadline - performance.now())
        if (this.#patience === 0) return
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS)
      }
    }
  }
}
