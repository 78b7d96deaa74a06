import { mkdir, rm } from 'node:fs/promises'
import { program } from '../load/program.mjs'
import { metered } from './meter.mjs'
import { isRunning } from './process-tree.mjs'
import { touchMemory } from './touch-memory.mjs'

/**
 * One lane of a work, once: on a server and a directory of its own, so that nobody finds what another left, and with nothing left
 * to write to the disk afterwards, so that nobody pays for his predecessor.
 *
 * @param watch { nodeFlags, around } of a turn that is watched (profile/profiled.mjs) instead of metered
 */
export async function takeTurn(work, lane, { size, files, tools, directory, watch }) {
  await mkdir(directory)
  try {
    const given = { lane, peer: lane.peer, size, files, tools, directory }
    const measure = async (running) => work.measure({ ...given, ...(running && { running }) })
    const fill = () => work.fills && touchMemory(directory, work.fills(size))
    if (work.bare || lane.peer === undefined) {
      await fill()
      return await measure()
    }
    const ready = async (running) => {
      await work.warm?.({ ...given, running })
      await fill()
    }
    return await onServer(lane, { tools, directory, watch, ready }, measure)
  } finally {
    if (!work.keeps) await rm(directory, { recursive: true, force: true })
    await settle()
  }
}

export async function settle() {
  // Where there is no such program the figures are a little less even.
  await program('sync', []).catch(() => undefined)
}

async function onServer({ peer, env, nodeFlags }, { tools, directory, watch, ready }, work) {
  const running = await peer.start({ tools, directory, env, nodeFlags: watch?.nodeFlags ?? nodeFlags })
  const look = watch?.around ?? metered
  try {
    await ready(running)
    return await look(running, () => work(running))
  } catch (error) {
    if (running.roots.every(isRunning)) throw error
    throw new Error(`its server died in the middle (${error.message})`, { cause: error })
  } finally {
    await running.stop()
  }
}
