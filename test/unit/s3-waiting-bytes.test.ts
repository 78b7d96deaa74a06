import { describe, expect, test } from 'vitest'
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
    bytes.send(8)
    bytes.hold(2)
    expect([one.relieved, two.relieved]).toEqual([0, 0])
    bytes.sent(8)
    expect(bytes.isFull).toBe(false)
    expect([one.resumed, two.resumed]).toEqual([1, 1])
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
