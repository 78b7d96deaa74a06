import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import {
  Asked,
  Crowd,
  type Fact,
  ignore,
  type LockerHarness,
  locked,
  never,
  outcome,
} from './locker/bench.js'
import { sharing } from './locker/sharing.js'

export type { LockerBench, LockerCapabilities, LockerHarness } from './locker/bench.js'

/** What every `Locker` given to @tus/server must do. */
export function lockerContract(name: string, harness: LockerHarness): void {
  const { capabilities } = harness
  const fact: Fact = (title, body) => {
    it(title, async () => {
      const bench = await harness.open()
      try {
        await body(bench)
      } finally {
        await bench.close()
      }
    })
  }
  describe(name, () => {
    excluding(fact)
    waiting(fact)
    if (capabilities.refusesAborted) refusingAborted(fact)
    if (capabilities.toleratesThrowing) tolerating(fact)
    if (capabilities.waitsQuietly) waitingQuietly(fact)
    if (capabilities.nodes) sharing(fact)
  })
}

function excluding(fact: Fact): void {
  fact('a free lock is had at once, and again after it was given back', async ({ locker }) => {
    const id = randomUUID()
    for (let round = 0; round < 3; round++) await (await locked(locker, id)).unlock()
  })

  fact('one at a time has the lock', async ({ locker }) => {
    const crowd = new Crowd()
    await Promise.all(Array.from({ length: 30 }, () => crowd.enter(locker, 'x')))
    expect(crowd).toMatchObject({ served: 30, most: 1 })
  })

  fact('locks of different uploads have nothing to do with each other', async ({ locker }) => {
    const odd = ['a', 'A', 'a/b', '../a', 'ä 🦦', "';--", 'x'.repeat(500)]
    const locks = await Promise.all(odd.map((id) => locked(locker, id)))
    await Promise.all(locks.map((lock) => lock.unlock()))
  })
}

function waiting(fact: Fact): void {
  fact(
    'the holder is asked to stop when another waits, and unlocking lets that one in',
    async ({ locker }) => {
      const asked = new Asked()
      const holder = await locked(locker, 'x', asked.cancel)
      expect(asked.times).toBe(0)
      const next = locked(locker, 'x')
      await asked.once
      await holder.unlock()
      await (await next).unlock()
    },
  )

  fact('who gets the lock while others still wait is asked at once', async ({ locker }) => {
    const first = new Asked()
    const holder = await locked(locker, 'x', first.cancel)
    const contenders = [new Asked(), new Asked()].map(async (asked) => {
      const lock = await locked(locker, 'x', asked.cancel)
      return { lock, asked }
    })
    await first.once
    await holder.unlock()
    const second = await Promise.race(contenders)
    await second.asked.once
    await second.lock.unlock()
    const both = await Promise.all(contenders)
    await both.find(({ lock }) => lock !== second.lock)?.lock.unlock()
  })

  fact('who stops waiting is refused, and does not get the lock later', async ({ locker }) => {
    const asked = new Asked()
    const holder = await locked(locker, 'x', asked.cancel)
    const leaving = new AbortController()
    const left = outcome(locker.newLock('x').lock(leaving.signal, ignore))
    await asked.once
    leaving.abort()
    expect(await left).toBe('refused')
    await holder.unlock()
    await (await locked(locker, 'x')).unlock()
  })

  fact('one that stops waiting does not take another with it', async ({ locker }) => {
    const asked = new Asked()
    const holder = await locked(locker, 'x', asked.cancel)
    const leaving = new AbortController()
    const left = outcome(locker.newLock('x').lock(leaving.signal, ignore))
    const patient = locked(locker, 'x')
    await asked.once
    leaving.abort()
    expect(await left).toBe('refused')
    await holder.unlock()
    await (await patient).unlock()
  })

  fact('waiting ends with a refusal, and the holder keeps the lock', async ({ locker, impatient }) => {
    const impatientLocker = await impatient(100)
    const holder = await locked(impatientLocker, 'x')
    expect(await outcome(impatientLocker.newLock('x').lock(never(), ignore))).toBe('refused')
    await holder.unlock()
    await (await locked(locker, 'x')).unlock()
  })
}

function refusingAborted(fact: Fact): void {
  fact('a signal that is aborted already gets nothing', async ({ locker }) => {
    expect(await outcome(locker.newLock('x').lock(AbortSignal.abort(), ignore))).toBe('refused')
    await (await locked(locker, 'x')).unlock()
  })
}

function tolerating(fact: Fact): void {
  fact('a holder that throws or rejects when asked is waited for all the same', async ({ locker }) => {
    const holders: (() => void | Promise<void>)[] = [
      () => {
        throw new Error('no')
      },
      () => Promise.reject(new Error('no')),
    ]
    for (const refuse of holders) {
      const asked = new Asked()
      const holder = await locked(locker, 'x', () => {
        asked.cancel()
        return refuse()
      })
      const next = locked(locker, 'x')
      await asked.once
      await holder.unlock()
      await (await next).unlock()
    }
  })
}

function waitingQuietly(fact: Fact): void {
  fact('many that wait cost nothing, and the holder is not asked without end', async ({ locker }) => {
    const asked = new Asked()
    const holder = await locked(locker, 'x', asked.cancel)
    const contenders = Array.from({ length: 20 }, () => locked(locker, 'x'))
    await asked.once
    // There is no event to await here: what is looked at is that nothing happens for a while.
    const [before, began] = [process.cpuUsage(), process.hrtime.bigint()]
    await sleep(400)
    const { user, system } = process.cpuUsage(before)
    const elapsed = Number(process.hrtime.bigint() - began) / 1000
    expect((user + system) / elapsed, 'share of the time').toBeLessThan(0.5)
    expect(asked.times).toBeLessThanOrEqual(contenders.length + 5)
    await holder.unlock()
    await Promise.all(contenders.map(async (contender) => (await contender).unlock()))
  })
}
