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

/** Each look at the clock takes `step` ms. */
function steppingClock(step: number): { now: number; step: number } {
  const clock = { now: Math.ceil(performance.now()), step }
  vi.spyOn(performance, 'now').mockImplementation(() => {
    clock.now += clock.step
    return clock.now
  })
  return clock
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
      const clock = steppingClock(60)
      await touch(calls, join(directory, 'a'))
      clock.step = 0
      expect(calls.calls).toBe(fileCalls)
      clock.now += 1_001
      expect(calls.calls).not.toBe(fileCalls)
    })

    test('rest twice as long each time they are slow again', async () => {
      const directory = await scratchDirectory()
      const calls = await prompt(directory)
      const clock = steppingClock(60)
      const rests: number[] = []
      for (let round = 0; round < 8; round++) {
        clock.step = 60
        await touch(calls, join(directory, 'a'))
        clock.step = 0
        const began = clock.now
        while (calls.calls === fileCalls) clock.now += 500
        rests.push(Math.floor((clock.now - began) / 1000))
      }
      expect(rests).toEqual([1, 2, 4, 8, 16, 32, 60, 60])
    })

    test('rest once after a stall that many of them met', async () => {
      const directory = await scratchDirectory()
      const calls = await prompt(directory)
      const clock = steppingClock(60)
      const path = join(directory, 'a')
      const { open, close } = calls.calls
      for (let count = 0; count < 7; count++)
        await close(await open(path, constants.O_WRONLY | constants.O_CREAT))
      clock.step = 0
      clock.now += 1_100
      expect(calls.calls).not.toBe(fileCalls)
    })

    test('rest when they are slow in the mean, though none of them was', async () => {
      const directory = await scratchDirectory()
      const calls = await prompt(directory)
      steppingClock(3)
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
