import { setImmediate as turn } from 'node:timers/promises'
import { expect } from 'vitest'
import { Asked, another, Crowd, type Fact, lapse, locked, outcome } from './bench.js'

/** For lockers of several processes. */
export function sharing(fact: Fact): void {
  fact('processes exclude each other', async (bench) => {
    const crowd = new Crowd()
    const lockers = [bench.locker, await another(bench), await another(bench)]
    await Promise.all(Array.from({ length: 10 }, () => lockers.map((each) => crowd.enter(each, 'x'))).flat())
    expect(crowd).toMatchObject({ served: 30, most: 1 })
  })

  fact('the holder is asked across processes, and unlocking there lets the next in here', async (bench) => {
    const asked = new Asked()
    const holder = await locked(bench.locker, 'x', asked.cancel)
    const next = locked(await another(bench), 'x')
    await asked.once
    await holder.unlock()
    await (await next).unlock()
  })

  fact('what a dead process held is taken over', async (bench) => {
    const dead = await another(bench)
    await locked(dead, 'x')
    await lapse(bench, dead)
    await (await locked(bench.locker, 'x')).unlock()
  })

  fact('who waits for a process that dies gets the lock', async (bench) => {
    const dead = await another(bench)
    const asked = new Asked()
    await locked(dead, 'x', asked.cancel)
    const next = locked(bench.locker, 'x')
    await asked.once
    await lapse(bench, dead)
    await (await next).unlock()
  })

  fact('a late unlock does not free the lock of another', async (bench) => {
    const frozen = await another(bench)
    const old = await locked(frozen, 'x')
    await lapse(bench, frozen)
    const asked = new Asked()
    const holder = await locked(bench.locker, 'x', asked.cancel)
    await outcome(old.unlock())
    const third = await another(bench)
    let inside = false
    const next = locked(third, 'x').then((lock) => {
      inside = true
      return lock
    })
    await asked.once
    await turn()
    expect(inside).toBe(false)
    await holder.unlock()
    await (await next).unlock()
  })
}
