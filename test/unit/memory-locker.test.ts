import { MemoryLocker } from '@tus/server'
import { lockerContract } from '../contract/locker.js'

/** Shows that the contract asks nothing that is strange to a stock @tus/server. */
lockerContract('the MemoryLocker of @tus/server', {
  // It waits by setImmediate without end, lets a holder's error through, and looks at signals only as they abort.
  capabilities: { nodes: false, waitsQuietly: false, refusesAborted: false, toleratesThrowing: false },
  open() {
    const locks = new MemoryLocker()
    return Promise.resolve({
      locker: locks,
      impatient: async (milliseconds) => {
        const impatient = new MemoryLocker({ acquireLockTimeout: milliseconds })
        impatient.locks = locks.locks
        return impatient
      },
      close: async () => undefined,
    })
  },
})
