import { setImmediate as turn } from 'node:timers/promises'
import type { Lock, Locker } from '@tus/utils'

/** What a locker can do beyond keeping two requests of one process apart. */
export interface LockerCapabilities {
  /** Lockers of several processes share their locks: then the bench has `node` and `lapse`. */
  readonly nodes: boolean
  /** Waiting costs no processor time. */
  readonly waitsQuietly: boolean
  /** A signal that is aborted already is refused, as one that aborts while waiting is. */
  readonly refusesAborted: boolean
  /** A holder whose `cancelReq` throws does not hurt those who wait. */
  readonly toleratesThrowing: boolean
}

export interface LockerBench {
  readonly locker: Locker
  /** A locker on the same locks that gives up waiting after `milliseconds`. */
  impatient(milliseconds: number): Promise<Locker>
  /** The locker of another process. */
  node?(): Promise<Locker>
  /** Lets the lease of a locker's process lapse, as if it had been killed or frozen. */
  lapse?(locker: Locker): Promise<void>
  close(): Promise<void>
}

export interface LockerHarness {
  readonly capabilities: LockerCapabilities
  open(): Promise<LockerBench>
}

export type Fact = (name: string, body: (bench: LockerBench) => Promise<void>) => void

/** Counts how many are inside at once. */
export class Crowd {
  served = 0
  most = 0
  #inside = 0

  async enter(locker: Locker, id: string): Promise<void> {
    const lock = await locked(locker, id)
    this.#inside += 1
    this.most = Math.max(this.most, this.#inside)
    await turn()
    this.#inside -= 1
    this.served += 1
    await lock.unlock()
  }
}

/** A holder that notes when it is asked to stop. */
export class Asked {
  times = 0
  readonly once: Promise<void>
  readonly cancel: () => void

  constructor() {
    let heard = ignore
    this.once = new Promise((resolve) => {
      heard = resolve
    })
    this.cancel = () => {
      this.times += 1
      heard()
    }
  }
}

export async function locked(
  locker: Locker,
  id: string,
  cancel: () => void | Promise<void> = ignore,
): Promise<Lock> {
  const lock = locker.newLock(id)
  await lock.lock(never(), cancel)
  return lock
}

export function outcome(call: Promise<void>): Promise<'had' | 'refused'> {
  return call.then(
    () => 'had',
    () => 'refused',
  )
}

export function never(): AbortSignal {
  return new AbortController().signal
}

export function ignore(): void {
  // These holders are not asked, or do not care.
}

export function another(bench: LockerBench): Promise<Locker> {
  if (bench.node === undefined) throw new Error('this bench has one process only')
  return bench.node()
}

export function lapse(bench: LockerBench, locker: Locker): Promise<void> {
  if (bench.lapse === undefined) throw new Error('this bench has no leases')
  return bench.lapse(locker)
}
