import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { listenFailure, StartFailure, starting } from '../../src/command/failure.js'
import { whenThereIsRoom } from '../../src/command/room-for-connections.js'
import { StopSignals } from '../../src/command/stop-signals.js'
import { type SideDatabase, SupervisedDatabase } from '../../src/command/supervised-database.js'
import { Teardown } from '../../src/command/teardown.js'
import { silent } from '../../src/upload/log.js'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

describe('signals to stop', () => {
  function signals() {
    let now = 0
    const atOnce = vi.fn()
    const stop = new StopSignals(() => now)
    const wishAt = (time: number) => {
      now = time
      stop.wish(atOnce)
      return [stop.drain.aborted, stop.hurry.aborted, atOnce.mock.calls.length]
    }
    return wishAt
  }

  it('ask to drain, then to hurry, then to stop at once', () => {
    const wishAt = signals()
    expect(wishAt(0)).toEqual([true, false, 0])
    expect(wishAt(1000)).toEqual([true, true, 0])
    expect(wishAt(2000)).toEqual([true, true, 1])
  })

  it('count once when one key press arrives twice, as through npm', () => {
    const wishAt = signals()
    wishAt(0)
    expect(wishAt(20)).toEqual([true, false, 0])
  })
})

describe('a teardown', () => {
  function teardown() {
    const ended: string[] = []
    const hurry = new AbortController()
    const all = new Teardown(silent, hurry.signal)
    const add = (name: string, end: () => Promise<void>) =>
      all.add(name, 1000, async () => {
        await end()
        ended.push(name)
      })
    return { all, add, ended, hurry }
  }

  it('ends the last started first', async () => {
    const { all, add, ended } = teardown()
    add('database', async () => undefined)
    add('server', async () => undefined)
    expect(await all.run()).toBe(true)
    expect(ended).toEqual(['server', 'database'])
  })

  it('goes on after a step that fails, and says so', async () => {
    const { all, add, ended } = teardown()
    add('database', async () => undefined)
    add('server', () => Promise.reject(new Error('no')))
    expect(await all.run()).toBe(false)
    expect(ended).toEqual(['database'])
  })

  it('leaves a step behind that takes longer than its limit', async () => {
    const { all, add, ended } = teardown()
    add('database', async () => undefined)
    add('server', () => new Promise(() => undefined))
    const run = all.run()
    await vi.advanceTimersByTimeAsync(1000)
    expect(await run).toBe(false)
    expect(ended).toEqual(['database'])
  })

  it('shortens every limit when asked to hurry', async () => {
    const { all, hurry } = teardown()
    all.add('server', 60_000, () => new Promise(() => undefined))
    const run = all.run()
    hurry.abort()
    await vi.advanceTimersByTimeAsync(1000)
    expect(await run).toBe(false)
  })

  it('leaves no timer behind', async () => {
    const { all, add } = teardown()
    add('server', async () => undefined)
    await all.run()
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('a failed start', () => {
  const coded = (code: string, message: string, options?: ErrorOptions) =>
    Object.assign(new Error(message, options), { code })

  it('is a sentence with the reasons, outermost first', async () => {
    const cause = coded('EACCES', 'EACCES: permission denied, mkdir')
    const failing = starting('DATA_DIR', () =>
      Promise.reject(coded('storage_failed', 'It failed.', { cause })),
    )
    await expect(failing).rejects.toThrow(
      new StartFailure('DATA_DIR: It failed: EACCES: permission denied, mkdir'),
    )
  })

  it('says the code where Node has no message', async () => {
    const failing = starting('X', () => Promise.reject(coded('ECONNREFUSED', '')))
    await expect(failing).rejects.toThrow('X: ECONNREFUSED')
  })

  it('keeps a bug as it is', async () => {
    const bug = new TypeError('undefined is not a function')
    await expect(starting('X', () => Promise.reject(bug))).rejects.toBe(bug)
  })

  it('names the setting for a port that cannot be opened', () => {
    const message = (code: string) => (listenFailure(coded(code, code), 'h', 80) as Error).message
    expect(message('EADDRINUSE')).toMatch(/^PORT: 80 is in use on h/)
    expect(message('EACCES')).toMatch(/^PORT: /)
    expect(message('ENOTFOUND')).toMatch(/^HOST: h is not an address/)
    expect(message('EMFILE')).toBe('EMFILE')
  })
})

describe('a database that has no connection to give', () => {
  const full = () => {
    const cause = Object.assign(new Error('sorry, too many clients already'), { code: '53300' })
    return new Error('it cannot be reached', { cause })
  }

  it('is asked again until it has', async () => {
    const attempt = vi
      .fn()
      .mockRejectedValueOnce(full())
      .mockRejectedValueOnce(full())
      .mockResolvedValue('open')
    const opened = whenThereIsRoom(attempt)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(await opened).toBe('open')
    expect(attempt).toHaveBeenCalledTimes(3)
  })

  it('is given up after a while', async () => {
    const opened = whenThereIsRoom(() => Promise.reject(full()))
    const refused = expect(opened).rejects.toThrow('it cannot be reached')
    await vi.advanceTimersByTimeAsync(11_000)
    await refused
  })

  it('is not confused with one that has other troubles', async () => {
    const attempt = vi.fn().mockRejectedValue(Object.assign(new Error('no'), { code: '28P01' }))
    await expect(whenThereIsRoom(attempt)).rejects.toThrow('no')
    expect(attempt).toHaveBeenCalledOnce()
  })
})

describe('a side database', () => {
  function farm(starts: readonly (object | Error)[]) {
    const rest = [...starts]
    const made: { die: () => void; stop: ReturnType<typeof vi.fn> }[] = []
    const start = async (): Promise<SideDatabase> => {
      const next = rest.shift() ?? new Error('no more')
      if (next instanceof Error) throw next
      let die: (error: Error) => void = () => undefined
      const died = new Promise<Error>((resolve) => {
        die = resolve
      })
      const stop = vi.fn(async () => undefined)
      made.push({ die: () => die(new Error('killed')), stop })
      return { connection: next, died, stop }
    }
    return { start, made }
  }

  const here = () => ({ host: '/run' })

  it('that dies is started again', async () => {
    const { start, made } = farm([here(), here()])
    const database = await SupervisedDatabase.start(start, silent)
    made[0]?.die()
    await vi.advanceTimersByTimeAsync(10)
    expect(made).toHaveLength(2)
    await database.stop()
    expect(made[1]?.stop).toHaveBeenCalledOnce()
  })

  it('is tried several times before it is lost', async () => {
    const no = () => new Error('not yet')
    const { start, made } = farm([here(), no(), no(), here()])
    const database = await SupervisedDatabase.start(start, silent)
    made[0]?.die()
    await vi.advanceTimersByTimeAsync(5000)
    expect(made).toHaveLength(2)
    await database.stop()
  })

  it('that keeps dying is lost', async () => {
    const { start, made } = farm(Array.from({ length: 20 }, here))
    const database = await SupervisedDatabase.start(start, silent)
    for (let i = 0; i < 10; i++) {
      made.at(-1)?.die()
      await vi.advanceTimersByTimeAsync(10_000)
    }
    await expect(database.lost).resolves.toBeInstanceOf(Error)
    expect(made.length).toBeLessThan(10)
  })

  it('that comes back at another address is lost, and still stopped', async () => {
    const { start, made } = farm([here(), { host: '/elsewhere' }])
    const database = await SupervisedDatabase.start(start, silent)
    made[0]?.die()
    await vi.advanceTimersByTimeAsync(10)
    expect((await database.lost).message).toContain('another address')
    await database.stop()
    expect(made[1]?.stop).toHaveBeenCalledOnce()
  })

  it('that is stopped while a new start is due is not started', async () => {
    const { start, made } = farm([here(), new Error('not yet'), here()])
    const database = await SupervisedDatabase.start(start, silent)
    made[0]?.die()
    await vi.advanceTimersByTimeAsync(10)
    await database.stop()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(made).toHaveLength(1)
  })

  it('that is stopped is not started again', async () => {
    const { start, made } = farm([here(), here()])
    const database = await SupervisedDatabase.start(start, silent)
    await database.stop()
    made[0]?.die()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(made).toHaveLength(1)
  })
})
