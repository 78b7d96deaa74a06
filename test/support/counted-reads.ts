import { type FileCalls, fileCalls } from '../../stores/disk/file-calls.js'
import { unsynced } from './crash/mortal-calls.js'
import { Gate } from './gate.js'

/** The system's calls without syncing, which count bytes as they are read, and can keep who reads waiting. */
export class CountedReads {
  bytes = 0
  #gate: Gate | null = null
  #reached: Gate | null = null

  readonly fs: FileCalls = {
    ...fileCalls,
    ...unsynced,
    read: async (fd, buffer, position) => {
      this.#reached?.open()
      await this.#gate?.opened
      const read = await fileCalls.read(fd, buffer, position)
      this.bytes += read
      return read
    },
  }

  /** From now on reads wait for `release`. Resolves when one does. */
  hold(): Promise<void> {
    this.#gate = new Gate()
    this.#reached = new Gate()
    return this.#reached.opened
  }

  release(): void {
    this.#gate?.open()
    this.#gate = null
    this.#reached = null
  }
}
