import { constants } from 'node:fs'
import type { FileCalls } from './file-calls.js'

const BLOCK_BYTES = 256 * 1024

/** Whether two files hold the same bytes, of which there are `length`. */
export async function isSameContent(
  calls: FileCalls,
  one: string,
  other: string,
  length: number,
): Promise<boolean> {
  const first = await calls.open(one, constants.O_RDONLY)
  try {
    const second = await calls.open(other, constants.O_RDONLY)
    try {
      return await compare(calls, first, second, length)
    } finally {
      await calls.close(second)
    }
  } finally {
    await calls.close(first)
  }
}

async function compare(calls: FileCalls, first: number, second: number, length: number): Promise<boolean> {
  const [one, other] = [Buffer.allocUnsafeSlow(BLOCK_BYTES), Buffer.allocUnsafeSlow(BLOCK_BYTES)]
  for (let position = 0; position < length; position += BLOCK_BYTES) {
    const wanted = Math.min(BLOCK_BYTES, length - position)
    const reads = await Promise.all([fill(calls, first, one, position), fill(calls, second, other, position)])
    if (reads.some((read) => read < wanted)) return false
    if (!one.subarray(0, wanted).equals(other.subarray(0, wanted))) return false
  }
  return true
}

async function fill(calls: FileCalls, fd: number, buffer: Buffer, position: number): Promise<number> {
  let filled = 0
  for (let read = -1; read !== 0 && filled < buffer.length; filled += read) {
    read = await calls.read(fd, buffer.subarray(filled), position + filled)
  }
  return filled
}
