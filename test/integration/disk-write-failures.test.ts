import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { comesToRest, MIB, newBlob, nextTurn } from '../contract/byte-store/fixture.js'
import { openDiskStore, SmallDisk, systemError, WatchedCalls } from '../support/disk-store.js'
import { Gate } from '../support/gate.js'
import { collect, HandSource, PatternSource } from '../support/sources.js'

const run = promisify(execFile)

describe('a disk that is full', () => {
  test.each(['ENOSPC', 'EDQUOT', 'EFBIG'])('(%s) keeps what fitted, synced', async (code) => {
    const calls = new SmallDisk(100_000, code)
    const { store } = await openDiskStore({ fs: calls })
    const blob = newBlob()
    const source = new PatternSource(64 * MIB)
    const result = await store.write(blob, 0, source, { limit: 64 * MIB, fresh: true }).done
    expect(result).toMatchObject({
      stored: 100_000,
      ended: 'failed',
      error: { code: 'storage_full', cause: { code } },
    })
    expect(calls.count('fdatasync')).toBe(1)
    expect(calls.openFiles.size).toBe(0)
    expect(source.destroyed).toBe(false)
    const kept = await collect(store.read(blob, 0, 100_000))
    expect(kept.equals((await collect(new PatternSource(MIB))).subarray(0, 100_000))).toBe(true)
  })

  test('stops an assembly', async () => {
    const roomy = await openDiskStore()
    const blob = newBlob()
    await roomy.store.write(blob, 0, new PatternSource(MIB), { limit: MIB, fresh: true }).done
    const calls = new SmallDisk(100_000)
    const { store } = await openDiskStore({ fs: calls, directory: roomy.directory })
    const extents = [{ start: 0, stop: MIB, blob, blobOffset: 0 }]
    const assembling = store.assemble(newBlob(), extents, {
      copied: 0,
      fresh: true,
      onCopied: async () => true,
    })
    await expect(assembling).rejects.toMatchObject({ code: 'storage_full' })
    expect(calls.openFiles.size).toBe(0)
  })

  test('is told from a real one', async ({ skip }) => {
    const directory = await mkdtemp(join(tmpdir(), 'tributary-small-'))
    try {
      await run('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', directory])
    } catch (error) {
      await rm(directory, { recursive: true })
      skip(`a tmpfs cannot be mounted here: ${String(error).split('\n')[0]}`)
    }
    onTestFinished(async () => {
      await run('umount', [directory])
      await rm(directory, { recursive: true })
    })
    const { store } = await openDiskStore({ directory: join(directory, 'blobs') })
    const blob = newBlob()
    const source = new PatternSource(8 * MIB)
    const { stored, ended, error } = await store.write(blob, 0, source, { limit: 8 * MIB, fresh: true }).done
    expect({ ended, error }).toMatchObject({ ended: 'failed', error: { code: 'storage_full' } })
    expect(stored).toBeGreaterThan(2 * MIB)
    expect(stored).toBeLessThanOrEqual(4 * MIB)
    const whole = await collect(new PatternSource(8 * MIB))
    expect((await collect(store.read(blob, 0, stored))).equals(whole.subarray(0, stored))).toBe(true)

    // Room again: the upload goes on where it stopped.
    await store.remove(blob)
    const rest = Readable.from([whole.subarray(stored, stored + MIB)])
    const next = newBlob()
    expect(await store.write(next, 0, rest, { limit: MIB, fresh: true }).done).toEqual({
      stored: MIB,
      ended: 'end',
    })
  })
})

describe('writes', () => {
  test('that are cut short by the operating system go on', async () => {
    class Hasty extends WatchedCalls {
      override writev(fd: number, buffers: readonly Buffer[], position: number): Promise<number> {
        const all = Buffer.concat(buffers)
        return super.writev(fd, [all.subarray(0, Math.ceil(all.length / 3))], position)
      }
    }
    const { store } = await openDiskStore({ fs: new Hasty() })
    const blob = newBlob()
    const length = 300_001
    const result = await store.write(blob, 0, new PatternSource(length, 1000), { limit: length, fresh: true })
      .done
    expect(result).toEqual({ stored: length, ended: 'end' })
    const bytes = await collect(store.read(blob, 0, length))
    expect(bytes.equals(await collect(new PatternSource(length)))).toBe(true)
  })

  test('that get nowhere fail rather than go on for ever', async () => {
    class Stuck extends WatchedCalls {
      override async writev(): Promise<number> {
        return 0
      }
    }
    const { store } = await openDiskStore({ fs: new Stuck() })
    const result = await store.write(newBlob(), 0, Readable.from(['x']), { limit: 9, fresh: true }).done
    expect(result).toMatchObject({ stored: 0, ended: 'failed', error: { code: 'storage_failed' } })
  })

  test('under way when the signal comes are waited for', async () => {
    const entered = new Gate()
    const gate = new Gate()
    class Slow extends WatchedCalls {
      override async writev(fd: number, buffers: readonly Buffer[], position: number): Promise<number> {
        entered.open()
        await gate.opened
        return super.writev(fd, buffers, position)
      }
    }
    const { store } = await openDiskStore({ fs: new Slow() })
    const stop = new AbortController()
    const source = new HandSource()
    source.push('hello')
    const write = store.write(newBlob(), 0, source, { limit: 9, fresh: true, signal: stop.signal })
    let done = false
    const settling = write.done.finally(() => {
      done = true
    })
    await entered.opened
    stop.abort()
    for (let turn = 0; turn < 20; turn++) await nextTurn()
    expect(done).toBe(false)
    gate.open()
    expect(await settling).toEqual({ stored: 5, ended: 'aborted' })
  })

  test('that stall hold back every source, and tiny chunks and many uploads too', async () => {
    const gate = new Gate()
    class Stalled extends WatchedCalls {
      override async writev(fd: number, buffers: readonly Buffer[], position: number): Promise<number> {
        await gate.opened
        return super.writev(fd, buffers, position)
      }
    }
    const { store } = await openDiskStore({ fs: new Stalled(), durability: 'relaxed' })
    const begin = (length: number, chunk: number) => {
      const source = new PatternSource(length, chunk)
      return { source, done: store.write(newBlob(), 0, source, { limit: length, fresh: true }).done }
    }
    const crumbs = begin(MIB, 1)
    await comesToRest(() => crumbs.source.produced)
    expect(crumbs.source.produced).toBeLessThan(5_000)

    const many = Array.from({ length: 40 }, () => begin(4 * MIB, 64 * 1024))
    const produced = () => many.reduce((sum, { source }) => sum + source.produced, 0)
    await comesToRest(produced)
    expect(produced()).toBeLessThan(64 * MIB)
    gate.open()
    const results = await Promise.all([crumbs.done, ...many.map(({ done }) => done)])
    expect(results.every(({ ended }) => ended === 'end')).toBe(true)
    expect(results.map(({ stored }) => stored)).toEqual([MIB, ...many.map(() => 4 * MIB)])
  })

  test.each(['open', 'close'] as const)('whose %s fails say so', async (call) => {
    const calls = new WatchedCalls()
    const fail = async () => {
      throw systemError('EIO')
    }
    const { store } = await openDiskStore({ fs: calls, durability: 'relaxed' })
    calls[call] = fail
    const result = await store.write(newBlob(), 0, Readable.from(['x']), { limit: 9, fresh: true }).done
    expect(result).toMatchObject({
      ended: 'failed',
      error: { code: 'storage_failed', cause: { code: 'EIO' } },
    })
  })
})
