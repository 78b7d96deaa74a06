import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { UploadError } from '../../src/upload/errors.js'
import { Batch } from '../../stores/postgres/batch.js'
import { Gate } from '../support/gate.js'
import { holdTimers } from '../support/hold-timers.js'

/** Says each number twice; keeps what it was asked, and waits for `gate` where there is one. */
function doubling(gate?: Gate) {
  const statements: (readonly number[])[] = []
  const batch = new Batch<number, number>(async (items) => {
    statements.push(items)
    await gate?.opened
    if (items.includes(-1)) throw new Error('a value no database takes')
    if (items.includes(-2)) throw new UploadError('registry_unavailable', 'away')
    return items.map((item) => 2 * item)
  })
  return { batch, statements }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn()
}

function calls(
  batch: Batch<number, number>,
  items: readonly number[],
): Promise<PromiseSettledResult<number>[]> {
  return Promise.allSettled(items.map((item) => batch.call(item)))
}

describe('a batch', () => {
  test('makes one statement of what comes in one turn, and gives each its answer', async () => {
    const { batch, statements } = doubling()
    const answers = await Promise.all([3, 1, 2].map((item) => batch.call(item)))
    expect(answers).toEqual([6, 2, 4])
    expect(statements).toEqual([[3, 1, 2]])
  })

  test('waits for nobody', async () => {
    const { batch, statements } = doubling()
    expect(await batch.call(1)).toBe(2)
    expect(statements).toEqual([[1]])
  })

  test('gathers while a statement is under way', async () => {
    holdTimers()
    const gate = new Gate()
    const { batch, statements } = doubling(gate)
    const answers: Promise<number>[] = []
    for (const item of [1, 2, 3, 4]) {
      answers.push(batch.call(item))
      await nextTurn()
      await nextTurn()
    }
    expect(statements).toEqual([[1]])
    gate.open()
    expect(await Promise.all(answers)).toEqual([2, 4, 6, 8])
    expect(statements).toEqual([[1], [2, 3], [4]])
  })

  test('of callers who come again and again, half are under way and half are not', async () => {
    holdTimers()
    const sizes: number[] = []
    const batch = new Batch<number, number>(async (items) => {
      sizes.push(items.length)
      await turns(4)
      return items
    })
    const comeAgain = async (caller: number) => {
      for (let time = 0; time < 10; time++) {
        await batch.call(caller)
        await turns(3)
      }
    }
    const first = comeAgain(0)
    await turns(2)
    await Promise.all([first, ...Array.from({ length: 7 }, (_, other) => comeAgain(other + 1))])
    expect(sizes.slice(0, 8)).toEqual([1, 4, 4, 4, 4, 4, 4, 4])
  })

  test('does not wait for a statement that never ends', async () => {
    const never = new Gate()
    const batch = new Batch<number, number>(async (items) => {
      if (items.includes(0)) await never.opened
      return items
    })
    const stuck = batch.call(0)
    await nextTurn()
    await nextTurn()
    expect(await batch.call(1)).toBe(1)
    never.open()
    expect(await stuck).toBe(0)
  })

  test('has a size, and the rest goes into the next', async () => {
    const { batch, statements } = doubling()
    const items = Array.from({ length: 100 }, (_, item) => item)
    expect(await Promise.all(items.map((item) => batch.call(item)))).toEqual(items.map((item) => 2 * item))
    expect(statements.map(({ length }) => length)).toEqual([64, 36])
  })

  test('one that is wrong fails alone', async () => {
    const { batch } = doubling()
    const outcomes = await calls(batch, [1, -1, 3])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(outcomes[2]).toMatchObject({ value: 6 })
  })

  test('a database that is away is not asked once more for each', async () => {
    const { batch, statements } = doubling()
    const outcomes = await calls(batch, [1, -2, 3])
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(statements).toEqual([[1, -2, 3]])
    expect(await batch.call(5)).toBe(10)
  })
})
