import { describe, expect, test, vi } from 'vitest'
import { LANES } from '../../stores/s3/segment-write.js'
import { type Gathering, WaitingBytes } from '../../stores/s3/waiting-bytes.js'

const MIB = 1024 * 1024

class Write implements Gathering {
  resumed = 0
  relieved = 0
  constructor(public waiting: number) {}
  resume(): void {
    this.resumed += 1
  }
  relieve(): void {
    this.relieved += 1
  }
}

describe('the memory that writes share', () => {
  test('has the fullest stored when it is full and nothing is on its way', () => {
    const bytes = new WaitingBytes(10)
    const [small, large] = [new Write(4), new Write(6)]
    bytes.join(small)
    bytes.join(large)
    bytes.hold(4)
    bytes.hold(5)
    expect([small.relieved, large.relieved]).toEqual([0, 0])
    bytes.hold(1)
    expect([small.relieved, large.relieved]).toEqual([0, 1])
    expect(bytes.isFull).toBe(true)
  })

  test('waits for what is on its way, and lets all go on then', () => {
    const bytes = new WaitingBytes(10)
    const [one, two] = [new Write(2), new Write(2)]
    bytes.join(one)
    bytes.join(two)
    bytes.hold(8)
    const letGo = bytes.send(8)
    bytes.hold(2)
    expect([one.relieved, two.relieved]).toEqual([0, 0])
    letGo()
    expect(bytes.isFull).toBe(false)
    expect([one.resumed, two.resumed]).toEqual([1, 1])
  })

  test('does not count on what is on its way for too long', () => {
    vi.useFakeTimers()
    const bytes = new WaitingBytes(10)
    const write = new Write(2)
    bytes.join(write)
    bytes.hold(8)
    const [late, prompt] = [bytes.send(6), bytes.send(2)]
    bytes.hold(2)
    vi.advanceTimersByTime(1_000)
    prompt()
    bytes.hold(2)
    expect(write.relieved).toBe(0)
    vi.advanceTimersByTime(10_000)
    expect(write.relieved).toBe(1)
    // It may come through after all, and what is sent later is counted on again.
    late()
    bytes.hold(3)
    bytes.send(3)
    bytes.hold(3)
    expect(write.relieved).toBe(1)
    vi.useRealTimers()
  })

  test('asks nobody who is busy, and whoever gathers again when he says so', () => {
    const bytes = new WaitingBytes(10)
    const [busy, other] = [new Write(0), new Write(0)]
    bytes.join(busy)
    bytes.join(other)
    bytes.hold(10)
    expect([busy.relieved, other.relieved]).toEqual([0, 0])
    other.waiting = 1
    bytes.relieve()
    expect([busy.relieved, other.relieved]).toEqual([0, 1])
  })

  test.each([10, 24, 32, 64, 96])('of %i MiB leaves others room, and one write enough to go on', (most) => {
    const bytes = new WaitingBytes(most * MIB)
    for (const writes of [1, 2, 16, 500]) {
      for (let n = writes; n > 0; n--) bytes.join(new Write(0))
      expect(bytes.share).toBeGreaterThan(bytes.partBytes)
    }
    expect(most * MIB - bytes.share).toBeGreaterThanOrEqual(Math.floor((most * MIB) / 6))
  })

  test('lets one that is alone send four parts and gather another', () => {
    const bytes = new WaitingBytes(64 * MIB)
    bytes.join(new Write(0))
    expect(bytes.partBytes).toBe(10 * MIB)
    expect((LANES + 1) * bytes.partBytes).toBeLessThan(bytes.share)
  })

  test('gives many writes smaller parts, and none less than S3 takes', () => {
    const bytes = new WaitingBytes(96 * MIB)
    expect(bytes.partBytes).toBe(12 * MIB)
    for (let n = 0; n < 6; n++) bytes.join(new Write(0))
    expect(bytes.partBytes).toBe(8 * MIB)
    for (let n = 0; n < 100; n++) bytes.join(new Write(0))
    expect(bytes.partBytes).toBe(5 * MIB)
  })
})
