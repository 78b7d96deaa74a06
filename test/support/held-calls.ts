import { constants } from 'node:fs'
import { type FileCalls, fileCalls } from '../../stores/disk/file-calls.js'

/** File calls of which one waits: a process that is slow, or frozen, at exactly that place. */
export interface HeldCalls {
  readonly fs: FileCalls
  /** Resolves when the call is held. */
  readonly reached: Promise<void>
  /** Lets the call, and all after it, happen. */
  release(): void
}

/** Holds the write of that number, counted from 1. */
export function holdWrite(number: number): HeldCalls {
  let writes = 0
  return hold((calls, wait) => ({
    writev: async (fd, buffers, position) => {
      writes += 1
      if (writes === number) await wait()
      return calls.writev(fd, buffers, position)
    },
  }))
}

/** Holds the making of the first file, before it is there. */
export function holdMaking(): HeldCalls {
  return hold((calls, wait) => ({
    open: async (path, flags) => {
      if (flags & constants.O_CREAT) await wait()
      return calls.open(path, flags)
    },
  }))
}

function hold(held: (calls: FileCalls, wait: () => Promise<void>) => Partial<FileCalls>): HeldCalls {
  let arrive = (): void => undefined
  let release = (): void => undefined
  const reached = new Promise<void>((resolve) => {
    arrive = resolve
  })
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const wait = () => {
    arrive()
    return released
  }
  return { fs: { ...fileCalls, ...held(fileCalls, wait) }, reached, release }
}
