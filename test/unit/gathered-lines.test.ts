import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { GatheredLines } from '../../src/command/gathered-lines.js'
import { builtDist } from '../support/built.js'

const failing = (code: string) => () => {
  throw Object.assign(new Error(code), { code })
}

describe('lines that are gathered', () => {
  test('are written together after a while, at once when asked to, and never more than a pipe takes whole', async () => {
    const calls: string[] = []
    const lines = new GatheredLines(2, ((_: number, bytes: Buffer) => {
      calls.push(String(bytes))
      return bytes.length
    }) as never)
    lines.write('one\n')
    lines.write('two\n')
    expect(calls).toEqual([])
    await sleep(200)
    expect(calls).toEqual(['one\ntwo\n'])
    lines.write('three\n')
    lines.flush()
    expect(calls[1]).toBe('three\n')
    for (let n = 0; n < 100; n++) lines.write(`${'x'.repeat(99)}\n`)
    lines.flush()
    expect(calls.slice(2).every((call) => call.length <= 4096 && call.endsWith('\n'))).toBe(true)
    expect(calls.slice(2).join('').length).toBe(10_000)
  })

  test('are dropped where they cannot be written, and nobody waits for that', () => {
    for (const code of ['EPIPE', 'ENOSPC', 'EIO']) {
      const lines = new GatheredLines(2, failing(code) as never)
      lines.write('lost\n')
      expect(() => lines.flush()).not.toThrow()
    }
    const began = performance.now()
    const full = new GatheredLines(2, failing('EAGAIN') as never)
    full.write('waited for\n')
    full.flush()
    expect(performance.now() - began).toBeGreaterThan(1_000)
  })

  test('are waited for once, not line by line, until something was taken', () => {
    let calls = 0
    let isStuck = true
    const lines = new GatheredLines(2, ((_: number, bytes: Buffer) => {
      calls += 1
      if (isStuck) failing('EAGAIN')()
      return bytes.length
    }) as never)
    const warn = () => {
      calls = 0
      lines.write('a warning\n')
      lines.flush()
      return calls
    }
    expect(warn()).toBeGreaterThan(10)
    expect(warn()).toBe(1)
    isStuck = false
    warn()
    isStuck = true
    expect(warn()).toBeGreaterThan(10)
  })

  test('go on where the operating system took some of them', () => {
    let taken = ''
    const lines = new GatheredLines(2, ((_: number, bytes: Buffer, from: number) => {
      const piece = bytes.subarray(from, from + 3)
      taken += String(piece)
      return piece.length
    }) as never)
    lines.write('abcdefgh\n')
    lines.flush()
    expect(taken).toBe('abcdefgh\n')
  })
})

test('a process whose reader is gone warns, and ends, all the same', async () => {
  const log = join(await builtDist(), 'src/command/stderr-log.js')
  const program = `
    import { stderrLog } from ${JSON.stringify(`file://${log}`)}
    const log = stderrLog()
    process.stdin.once('data', () => {
      log.info({}, 'one'); log.warn({}, 'two'); log.info({}, 'three')
      process.exit(7)
    })`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  child.stderr?.destroy()
  await sleep(500)
  child.stdin?.write('go')
  const [code] = await once(child, 'exit')
  expect(code).toBe(7)
})

test('the last words of a process are there', async () => {
  const log = join(await builtDist(), 'src/command/stderr-log.js')
  const program = `
    import { stderrLog } from ${JSON.stringify(`file://${log}`)}
    stderrLog().info({}, 'last words')
    process.exit(0)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let words = ''
  child.stderr?.on('data', (text) => {
    words += text
  })
  await once(child, 'close')
  expect(words).toContain('last words')
})
