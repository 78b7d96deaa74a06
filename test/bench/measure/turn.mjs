import { mkdir, rm } from 'node:fs/promises'
import { program } from '../load/program.mjs'
import { metered } from './meter.mjs'
import { isRunning } from './process-tree.mjs'

/**
 * One lane of a work, once: on a server and a directory of its own, so that nobody finds what another left, and with nothing left
 * to write to the disk afterwards, so that nobody pays for his predecessor.
 */
export async function takeTurn(work, lane, { size, files, tools, directory }) {
  await mkdir(directory)
  try {
    const given = { lane, peer: lane.peer, size, files, tools, directory }
    if (work.bare || lane.peer === undefined) return await work.measure(given)
    return await onServer(lane, { tools, directory }, (running) => work.measure({ ...given, running }))
  } finally {
    if (!work.keeps) await rm(directory, { recursive: true, force: true })
    await settle()
  }
}

export async function settle() {
  // Where there is no such program the figures are a little less even.
  await program('sync', []).catch(() => undefined)
}

async function onServer({ peer, env }, { tools, directory }, work) {
  const running = await peer.start({ tools, directory, env })
  try {
    return await metered(running, () => work(running))
  } catch (error) {
    if (running.roots.every(isRunning)) throw error
    throw new Error(`its server died in the middle (${error.message})`, { cause: error })
  } finally {
    await running.stop()
  }
}
