import fs from 'node:fs'
import { promisify } from 'node:util'

/**
 * The calls that touch the bytes of blobs. Descriptors are plain numbers: a FileHandle costs more per write, and
 * closes itself when it is collected. Tests pass calls that fail.
 */
export interface FileCalls {
  open(path: string, flags: number): Promise<number>
  /** Writes at `position`; resolves with how many bytes were written, which may be fewer than given. */
  writev(fd: number, buffers: readonly Buffer[], position: number): Promise<number>
  /** Reads into `buffer`; resolves with how many bytes were read, 0 at the end of the file. */
  read(fd: number, buffer: Buffer, position: number): Promise<number>
  fdatasync(fd: number): Promise<void>
  fsync(fd: number): Promise<void>
  close(fd: number): Promise<void>
}

export const fileCalls: FileCalls = {
  open: promisify(fs.open),
  writev: (fd, buffers, position) =>
    new Promise((resolve, reject) => {
      fs.writev(fd, buffers, position, (error, written) => (error ? reject(error) : resolve(written)))
    }),
  read: (fd, buffer, position) =>
    new Promise((resolve, reject) => {
      fs.read(fd, buffer, 0, buffer.length, position, (error, read) =>
        error ? reject(error) : resolve(read),
      )
    }),
  fdatasync: promisify(fs.fdatasync),
  fsync: promisify(fs.fsync),
  close: promisify(fs.close),
}
