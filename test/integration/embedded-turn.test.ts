import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Patience } from '../../stores/postgres/embedded/patience.js'
import { takeTurn } from '../../stores/postgres/embedded/turn.js'
import { startEmbeddedPostgres } from '../../stores/postgres/embedded.js'
import { builtDist } from '../support/built.js'
import { EmbeddedChild } from '../support/embedded-child.js'
import { scratchDirectory } from '../support/embedded-scratch.js'

function patience(milliseconds: number): Patience {
  return new Patience(milliseconds, () => undefined)
}

test('of many starters one at a time has the turn', async () => {
  const directory = await scratchDirectory()
  let inside = 0
  const most: number[] = []
  const starter = async (): Promise<void> => {
    const giveBack = await takeTurn(directory, patience(20_000))
    inside += 1
    most.push(inside)
    for (let step = 0; step < 5; step += 1) await nextTurn()
    inside -= 1
    await giveBack()
  }
  await Promise.all(Array.from({ length: 20 }, starter))
  expect(most).toEqual(Array(20).fill(1))
  expect(await readdir(join(directory, 'postgres.turn'))).toEqual(['20'])
})

test('the turn of a dead starter, and of one whose pid is another process now, passes on', async () => {
  const directory = await scratchDirectory()
  await (await takeTurn(directory, patience(0)))()
  const turn = join(directory, 'postgres.turn', '1')
  await writeFile(turn, JSON.stringify({ pid: 4_194_303, started: '1' }))
  await (await takeTurn(directory, patience(0)))()
  await writeFile(turn.replace(/1$/, '2'), JSON.stringify({ pid: process.pid, started: '1' }))
  await (await takeTurn(directory, patience(0)))()
  expect(await readdir(join(directory, 'postgres.turn'))).toEqual(['3'])
})

test('a starter that hangs is named once the patience of the next one ends', async () => {
  const directory = await scratchDirectory()
  const hanging = new EmbeddedChild({ dist: await builtDist(), directory })
  await hanging.event('log')
  hanging.process.kill('SIGSTOP')
  const next = startEmbeddedPostgres({ directory }, { patience: 300 })
  await expect(next).rejects.toMatchObject({
    code: 'data_directory_in_use',
    message: `DATA_DIR is in use by pid ${hanging.pid}; give DATABASE_URL to run several servers`,
  })
  hanging.process.kill('SIGCONT')
  await hanging.started()
  await hanging.stop()
})
