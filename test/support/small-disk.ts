import { execFile } from 'node:child_process'
import { statfs } from 'node:fs/promises'
import { promisify } from 'node:util'
import { type FileCalls, fileCalls } from '../../stores/disk/file-calls.js'

const run = promisify(execFile)

/** Mounts a file system of so many bytes on a directory. Gives the reason when this process may not. */
export async function mountSmall(directory: string, bytes: number): Promise<string | null> {
  if (process.platform !== 'linux')
    return `a small disk is mounted with tmpfs, and this is ${process.platform}`
  if (process.getuid?.() !== 0) return 'mounting a small disk (tmpfs) takes root'
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', directory])
    return null
  } catch (error) {
    return `this root may not mount a tmpfs: ${error instanceof Error ? error.message.trim() : String(error)}`
  }
}

/** Whatever still uses it keeps it until it is done. */
export async function unmount(directory: string): Promise<void> {
  await run('umount', ['--lazy', directory])
}

export async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}

/** File calls of a disk with so much room; writes take what fits, and then fail as a full disk does. */
export class SmallDisk {
  room: number
  /** Network file systems, and those that allocate late, say only here that they are full. */
  failsWhenSynced = false

  constructor(room: number) {
    this.room = room
  }

  readonly fs: FileCalls = {
    ...fileCalls,
    writev: async (fd, buffers, position) => {
      if (this.room === 0) throw full('write')
      const [first = Buffer.alloc(0)] = buffers
      const written = await fileCalls.writev(fd, [first.subarray(0, this.room)], position)
      this.room -= written
      return written
    },
    fdatasync: async (fd) => {
      if (this.failsWhenSynced) throw full('fdatasync')
      await fileCalls.fdatasync(fd)
    },
  }
}

function full(syscall: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`ENOSPC: no space left on device, ${syscall}`), { code: 'ENOSPC', syscall })
}
