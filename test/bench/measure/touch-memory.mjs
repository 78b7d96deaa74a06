import { open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'

const PIECE = Buffer.alloc(4 * 1024 * 1024)
/** Files in memory, which no disk is ever to have. */
const IN_MEMORY = '/dev/shm'

/**
 * Has so many bytes of free memory used just before they are needed, by a file that is removed before any of it reaches the disk. A
 * virtual machine gets memory from its host page by page as it first uses it, and gives back what was free for some seconds: where this
 * was seen, filling the page cache then took five times as long, for whoever's turn followed a pause.
 */
export async function touchMemory(directory, bytes) {
  const path = join(
    (await hasRoom(IN_MEMORY, bytes)) ? IN_MEMORY : directory,
    `tributary-bench-${process.pid}`,
  )
  const file = await open(path, 'w')
  try {
    for (let written = 0; written < bytes; written += PIECE.length) await file.write(PIECE)
  } finally {
    await file.close()
    await rm(path)
  }
}

async function hasRoom(directory, bytes) {
  try {
    const { bavail, bsize } = await statfs(directory)
    return bavail * bsize > bytes
  } catch {
    // It is Linux that has one.
    return false
  }
}
