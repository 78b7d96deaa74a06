import { EventEmitter } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { StartFailure } from '../../src/command/failure.js'
import type { FromWorker } from '../../src/command/worker-messages.js'
import type { Forked } from '../../src/command/worker-process.js'
import { Workers } from '../../src/command/workers.js'
import { silent } from '../../src/upload/log.js'

const PORT = 4711

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

/** A worker that does what the test says. */
class PuppetWorker extends EventEmitter implements Forked {
  readonly told: unknown[] = []
  readonly killed = vi.fn()
  readonly process: Forked['process']

  constructor(pid: number) {
    super()
    this.process = Object.assign(new EventEmitter(), { pid, kill: () => this.killed() ?? true })
  }

  send(message: object): boolean {
    this.told.push(message)
    return true
  }

  say(kind: FromWorker['kind'], text = ''): void {
    this.emit('message', { kind, text } satisfies FromWorker)
  }

  end(code: number | null, signal: string | null = null): void {
    this.process.emit('close', code, signal)
  }
}

class Troupe {
  readonly puppets: PuppetWorker[] = []
  readonly choosePort = vi.fn(async () => PORT)
  readonly workers: Workers
  /** Whether the system has a process to give. */
  exhausted = false

  constructor(count: number) {
    const fork = () => {
      if (this.exhausted) throw new Error('spawn ENOMEM')
      const puppet = new PuppetWorker(this.puppets.length + 1)
      this.puppets.push(puppet)
      queueMicrotask(() => puppet.say('hearing'))
      return puppet
    }
    this.workers = new Workers({ count, log: silent, fork, choosePort: this.choosePort })
  }

  at(index: number): PuppetWorker {
    const puppet = this.puppets[index]
    if (puppet === undefined) throw new Error(`there are only ${this.puppets.length} workers`)
    return puppet
  }

  async started(): Promise<this> {
    const start = this.workers.start()
    for (const puppet of this.puppets) puppet.say('prepared')
    await turn()
    for (const puppet of this.puppets) puppet.say('listening', 'http://here')
    await start
    return this
  }
}

const never = () => new AbortController().signal

describe('workers that start', () => {
  it('open the port when the last of them is prepared', async () => {
    const troupe = new Troupe(3)
    const start = troupe.workers.start()
    troupe.at(0).say('prepared')
    troupe.at(2).say('prepared')
    await turn()
    expect(troupe.choosePort).not.toHaveBeenCalled()
    troupe.at(1).say('prepared')
    await turn()
    expect(troupe.puppets.map(({ told }) => told)).toEqual(Array(3).fill([{ listen: PORT }]))
    for (const puppet of troupe.puppets) puppet.say('listening', 'http://here')
    expect(await start).toBe('http://here')
  })

  it('fail together with what the first of them says', async () => {
    const troupe = new Troupe(2)
    const start = troupe.workers.start()
    troupe.at(1).say('failed', 'AUTH_TOKENS: no')
    troupe.at(1).end(1)
    await expect(start).rejects.toEqual(new StartFailure('AUTH_TOKENS: no'))
    const stop = troupe.workers.stop(never())
    troupe.at(0).end(1)
    await stop
  })

  it('fail when one ends without a word', async () => {
    const troupe = new Troupe(2)
    const start = troupe.workers.start()
    troupe.at(0).end(null, 'SIGKILL')
    await expect(start).rejects.toThrow('A worker ended before it was ready (SIGKILL)')
  })

  it('fail when the system has no process for one', async () => {
    const troupe = new Troupe(1)
    const start = troupe.workers.start()
    Object.assign(troupe.at(0).process, { pid: undefined })
    troupe.at(0).emit('error', Object.assign(new Error('spawn EAGAIN'), { code: 'EAGAIN' }))
    await expect(start).rejects.toThrow('A worker ended before it was ready (EAGAIN)')
  })

  it('may be stopped meanwhile', async () => {
    const troupe = new Troupe(2)
    const start = troupe.workers.start()
    start.catch(() => undefined)
    const stop = troupe.workers.stop(never())
    await turn()
    for (const puppet of troupe.puppets) {
      expect(puppet.told).toEqual([{ end: 'in order' }])
      puppet.end(0)
    }
    await stop
    expect(troupe.puppets).toHaveLength(2)
  })
})

describe('a worker that ends', () => {
  it('is replaced at once, on the same port, and needs no choice of another', async () => {
    const troupe = await new Troupe(2).started()
    troupe.at(1).end(null, 'SIGSEGV')
    await vi.advanceTimersByTimeAsync(0)
    expect(troupe.puppets).toHaveLength(3)
    expect(troupe.at(2).told).toEqual([{ listen: PORT }])
    expect(troupe.choosePort).toHaveBeenCalledOnce()
  })

  it('again and again is replaced ever later, also when it does not get to its port', async () => {
    const troupe = await new Troupe(1).started()
    const pauses: number[] = []
    for (let died = 0; died < 10; died++) {
      troupe.at(-1 + troupe.puppets.length).say('failed', 'no')
      troupe.at(-1 + troupe.puppets.length).end(1)
      let waited = 0
      const before = troupe.puppets.length
      await vi.advanceTimersByTimeAsync(0)
      for (; troupe.puppets.length === before; waited += 500) await vi.advanceTimersByTimeAsync(500)
      pauses.push(waited)
    }
    expect(pauses).toEqual([0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000])
  })

  it('after a long life is replaced at once again', async () => {
    const troupe = await new Troupe(1).started()
    troupe.at(0).end(1)
    await vi.advanceTimersByTimeAsync(0)
    await vi.advanceTimersByTimeAsync(61_000)
    troupe.at(1).end(1)
    await vi.advanceTimersByTimeAsync(0)
    expect(troupe.puppets).toHaveLength(3)
  })

  it('is replaced later when the system has no process to give', async () => {
    const troupe = await new Troupe(1).started()
    troupe.exhausted = true
    troupe.at(0).end(null, 'SIGKILL')
    await vi.advanceTimersByTimeAsync(1_000)
    troupe.exhausted = false
    await vi.advanceTimersByTimeAsync(1_000)
    expect(troupe.puppets).toHaveLength(2)
  })

  it('is not replaced when all are to stop, nor is one that waits for its turn', async () => {
    const troupe = await new Troupe(2).started()
    for (let died = 0; died < 2; died++) {
      troupe.at(-1 + troupe.puppets.length).end(1)
      await vi.advanceTimersByTimeAsync(0)
    }
    expect(troupe.puppets).toHaveLength(3)
    const stop = troupe.workers.stop(never())
    troupe.at(0).end(0)
    await stop
    await vi.advanceTimersByTimeAsync(60_000)
    expect(troupe.puppets).toHaveLength(3)
  })
})

describe('workers that are to stop', () => {
  it('are told so, and waited for', async () => {
    const troupe = await new Troupe(2).started()
    const stop = troupe.workers.stop(never())
    await turn()
    expect(troupe.puppets.map(({ told }) => told.at(-1))).toEqual(Array(2).fill({ end: 'in order' }))
    for (const puppet of troupe.puppets) puppet.end(0)
    await stop
    expect(vi.getTimerCount()).toBe(0)
  })

  it('are told to hurry', async () => {
    const troupe = await new Troupe(2).started()
    const hurry = new AbortController()
    const stop = troupe.workers.stop(hurry.signal)
    hurry.abort()
    await turn()
    expect(troupe.puppets.map(({ told }) => told.at(-1))).toEqual(Array(2).fill({ end: 'soon' }))
    for (const puppet of troupe.puppets) puppet.end(0)
    await stop
    expect(vi.getTimerCount()).toBe(0)
  })

  it('say that not all went well when one could not end in order', async () => {
    const troupe = await new Troupe(2).started()
    const stop = troupe.workers.stop(never())
    troupe.at(0).end(0)
    troupe.at(1).end(1)
    await expect(stop).rejects.toThrow('1 of the workers did not end in order')
  })

  it.each([
    ['in order', 25_000],
    ['soon', 5_000],
  ])('%s, and do not, are killed', async (how, limit) => {
    const troupe = await new Troupe(2).started()
    const hurry = new AbortController()
    if (how === 'soon') hurry.abort()
    const stop = troupe.workers.stop(hurry.signal)
    troupe.at(0).end(0)
    await vi.advanceTimersByTimeAsync(limit - 1)
    expect(troupe.at(1).killed).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(1)
    expect(troupe.at(1).killed).toHaveBeenCalledOnce()
    expect(troupe.at(0).killed).not.toHaveBeenCalled()
    troupe.at(1).end(null, 'SIGKILL')
    await expect(stop).rejects.toThrow('did not end in order')
  })
})
