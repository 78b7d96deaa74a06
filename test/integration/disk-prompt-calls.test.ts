import { constants } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { fileCalls } from '../../stores/disk/file-calls.js'
import { PromptCalls } from '../../stores/disk/prompt-calls.js'

afterEach(() => {
  vi.restoreAllMocks()
})

async function scratchDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'prompt-calls-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  return directory
}

async function prompt(directory: string): Promise<PromptCalls> {
  const calls = new PromptCalls(fileCalls, (own) => own)
  await calls.look(directory)
  return calls
}

async function touch(calls: PromptCalls, path: string): Promise<void> {
  await fileCalls.close(await calls.calls.open(path, constants.O_WRONLY | constants.O_CREAT))
}

async function writeSmall(calls: PromptCalls, path: string): Promise<void> {
  const { open, writev, close } = calls.calls
  const fd = await open(path, constants.O_WRONLY | constants.O_CREAT)
  expect(await writev(fd, [Buffer.from('a'), Buffer.from('bc')], 0)).toBe(3)
  await close(fd)
}

describe.runIf(process.platform === 'linux')(
  'calls without a thread (file systems are told apart on Linux only)',
  () => {
    test('write what threads would have written', async () => {
      const directory = await scratchDirectory()
      const calls = await prompt(directory)
      expect(calls.calls).not.toBe(fileCalls)
      await writeSmall(calls, join(directory, 'a'))
      expect(await readFile(join(directory, 'a'), 'utf8')).toBe('abc')
    })

    test('reject with what the operating system says', async () => {
      const calls = await prompt(await scratchDirectory())
      await expect(calls.calls.open('/proc/none/of/this', constants.O_RDONLY)).rejects.toMatchObject({
        code: 'ENOENT',
      })
    })

    test('are none on a file system that is not one of this machine', async () => {
      expect((await prompt('/proc')).calls).toBe(fileCalls)
    })

    test('rest for a second after a slow one', async () => {
      const directory = await scratchDirectory()
      const calls = await prompt(directory)
      let now = performance.now()
      let step = 60
      vi.spyOn(performance, 'now').mockImplementation(() => {
        now += step
        return now
      })
      await touch(calls, join(directory, 'a'))
      step = 0
      expect(calls.calls).toBe(fileCalls)
      now += 1_001
      expect(calls.calls).not.toBe(fileCalls)
    })

    test('rest twice as long each time they are slow again', async () => {
      const directory = await scratchDirectory()
      const calls = await prompt(directory)
      let now = performance.now()
      let step = 60
      vi.spyOn(performance, 'now').mockImplementation(() => {
        now += step
        return now
      })
      const rests: number[] = []
      for (let round = 0; round < 8; round++) {
        step = 60
        await touch(calls, join(directory, 'a'))
        step = 0
        const began = now
        while (calls.calls === fileCalls) now += 500
        rests.push(Math.floor((now - began) / 1000))
      }
      expect(rests).toEqual([1, 2, 4, 8, 16, 32, 60, 60])
    })

    test('rest once after a stall that many of them met', async () => {
      const directory = await scratchDirectory()
      const calls = await prompt(directory)
      let now = performance.now()
      let step = 60
      vi.spyOn(performance, 'now').mockImplementation(() => {
        now += step
        return now
      })
      const path = join(directory, 'a')
      const { open, close } = calls.calls
      for (let count = 0; count < 7; count++)
        await close(await open(path, constants.O_WRONLY | constants.O_CREAT))
      step = 0
      now += 1_100
      expect(calls.calls).not.toBe(fileCalls)
    })

    test('rest when they are slow in the mean, though none of them was', async () => {
      const directory = await scratchDirectory()
      const calls = await prompt(directory)
      let now = performance.now()
      vi.spyOn(performance, 'now').mockImplementation(() => {
        now += 3
        return now
      })
      const path = join(directory, 'a')
      let count = 0
      while (calls.calls !== fileCalls && count < 100) {
        await touch(calls, path)
        count += 1
      }
      expect(count).toBeGreaterThan(1)
      expect(count).toBeLessThan(20)
    })
  },
)
