import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test, vi } from 'vitest'
import { type Held, Intake } from '../../stores/disk/intake.js'
import { sizeOf } from '../../stores/source/size-of.js'
import { holdTimers } from '../support/hold-timers.js'

const MIB = 1024 * 1024

function intakeOf(held: Held): { source: PassThrough; intake: Intake } {
  const source = new PassThrough({ highWaterMark: 64 * MIB })
  return { source, intake: new Intake(source, { limit: 1024 * MIB }, held) }
}

/** Whether `promise` has settled by the end of this turn of the event loop. */
async function atOnce(promise: Promise<void>): Promise<boolean> {
  let settled = false
  void promise.then(() => {
    settled = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  return settled
}

describe('Intake', () => {
  test('waits a moment for more, if uploads hold little', async () => {
    holdTimers()
    const { source, intake } = intakeOf({ bytes: 0 })
    const gathered = intake.gathered()
    source.write('abc')
    expect(await atOnce(gathered)).toBe(false)
    vi.runAllTimers()
    await gathered
    expect(Buffer.concat(intake.take()).toString()).toBe('abc')
  })

  test('waits for nothing, if all uploads together hold much', async () => {
    holdTimers()
    const { source, intake } = intakeOf({ bytes: 2 * MIB })
    const gathered = intake.gathered()
    source.write('abc')
    expect(await atOnce(gathered)).toBe(true)
  })

  test('keeps nothing of what it gave away, so that young collections free it', async () => {
    setFlagsFromString('--expose-gc')
    const gc: (options?: { type: 'minor' }) => void = runInNewContext('gc')
    const { source, intake } = intakeOf({ bytes: 0 })
    // It has grown old by then, with what it has gathered bytes in until now.
    source.write('abc')
    await intake.gathered()
    intake.take()
    gc()
    gc()
    const before = process.memoryUsage().arrayBuffers
    await receive(source, intake, 32 * MIB)
    const kept = () => process.memoryUsage().arrayBuffers - before
    for (let looks = 0; looks < 40 && kept() > MIB; looks++) {
      gc({ type: 'minor' })
      await sleep(25)
    }
    expect(kept()).toBeLessThan(MIB)
  })
})

/** In a function of its own: nothing on the stack of the test is to refer to the bytes. */
async function receive(source: PassThrough, intake: Intake, bytes: number): Promise<void> {
  source.write(Buffer.from(new ArrayBuffer(bytes)))
  await intake.gathered()
  intake.release(sizeOf(intake.take()))
}
