import { readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { reach } from '../growth/database.mjs'
import { create, createAll, patch } from '../load/tus.mjs'
import { usage } from '../measure/process-tree.mjs'
import { trickle } from '../memory/trickle.mjs'
import { mostUnderWay } from '../memory/under-way.mjs'
import { FILE } from '../memory/watch.mjs'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
/** Bytes a second of each of many: twenty seconds, in full size, so that all have long begun before the first has ended. */
const RATE = 200 * KIB

const WATCHED = ['--import', new URL('../memory/watch.mjs', import.meta.url).href]

export const memory = {
  name: 'memory',
  title: ({ open, long }) => `Memory: ${open} uploads at once; one of ${long / GIB} GiB`,
  notes:
    'Most resident memory of the server since it was ready. Of the uploads at once each sends 4 MiB at 200 KiB/s, and all of them have ' +
    'been seen under way at the same moment. The long one follows a short one on the same server; what it needs more is its own.',
  unit: 'MiB',
  better: 'less',
  needs: ['curl'],
  rounds: 3,
  sizes: {
    smoke: { open: 50, each: MIB, short: 16 * MIB, long: GIB },
    full: { open: 500, each: 4 * MIB, short: 64 * MIB, long: 16 * GIB },
  },
  peers: [
    { as: 'open', peer: 'tributary', title: 'Tributary, many at once', look: manyAtOnce, nodeFlags: WATCHED },
    { as: 'long', peer: 'tributary', title: 'Tributary, a long one', look: longOne },
  ],
  columns: {
    heapMiB: 'of that the heap of V8',
    buffersMiB: 'buffers, freed ones not yet collected included',
    restMiB: 'all else',
    shortMiB: 'with a short one, MiB',
    moreMiB: 'more with the long one, MiB',
  },

  measure: ({ lane, ...turn }) => lane.look(turn),

  targets: [
    { peer: 'open', atMost: 160, says: 'memory with 500 uploads at once: 160 MiB' },
    {
      peer: 'long',
      of: 'moreMiB',
      atMost: 20,
      says: 'memory with one of 16 GiB: 20 MiB more than with one of 64 MiB',
    },
  ],
}

async function manyAtOnce({ running, size: { open, each }, files, directory }) {
  const file = await files.random(each)
  const uploads = await createAll(running.url, Array(open).fill({ length: each }))
  const database = await reach(running)
  try {
    const most = await mostUnderWay(database, () => trickle(uploads, file, RATE))
    if (most < open) throw new Error(`only ${most} of ${open} uploads were under way at once`)
  } finally {
    await database.client.end()
  }
  return { value: peakOf(running), bytes: open * each, extra: await parts(directory) }
}

/** What it was made of when it was most, as the server saw itself. */
async function parts(directory) {
  const { rss, heapTotal, arrayBuffers } = JSON.parse(await readFile(join(directory, FILE), 'utf8'))
  return {
    heapMiB: heapTotal / MIB,
    buffersMiB: arrayBuffers / MIB,
    restMiB: (rss - heapTotal - arrayBuffers) / MIB,
  }
}

async function longOne({ running, size: { short, long }, directory }) {
  const shortMiB = await peakWith(running, short, directory)
  const value = await peakWith(running, long, directory)
  return { value, bytes: short + long, extra: { shortMiB, moreMiB: value - shortMiB } }
}

/** The file has no bytes on the disk: reading it costs nearly nothing. */
async function peakWith(running, length, directory) {
  const file = join(directory, 'sparse')
  await writeFile(file, '')
  await truncate(file, length)
  await patch(await create(running.url, length), file, length)
  return peakOf(running)
}

function peakOf({ roots, database }) {
  return usage(roots, database).peakMiB
}
