import { uploadInParts } from '../load/in-parts.mjs'
import { createAll, patch } from '../load/tus.mjs'

const MIB = 1024 * 1024
const PARTS = 8

export const parallelParts = {
  name: 'parallel-parts',
  title: ({ bytes }) => `Parallel upload: ${PARTS} parts of ${bytes / MIB} MiB and the final`,
  notes:
    'From the first PATCH to the answer to the final, by the clock of the wall; eight curl processes at once. Tributary makes one file of the ' +
    'parts after that answer, tusd before it.',
  unit: 'MiB/s',
  better: 'more',
  profiles: true,
  needs: ['curl'],
  fills: ({ bytes }) => 2 * PARTS * bytes,
  sizes: { smoke: { warmUp: 2 * MIB, bytes: 8 * MIB }, full: { warmUp: 32 * MIB, bytes: 128 * MIB } },
  peers: ['tributary', 'tributary-strict', 'tusd'],
  columns: { finalMs: 'final alone, ms' },

  /** Not as it starts: see creations. Without a final, after which one would still be copying. */
  async warm({ running, size: { warmUp }, files }) {
    const file = await files.random(warmUp)
    const uploads = await createAll(running.url, Array(PARTS).fill({ length: warmUp }))
    await Promise.all(uploads.map((upload) => patch(upload, file, warmUp)))
  },

  async measure({ running, size: { bytes }, files }) {
    return uploadInParts(running.url, await files.random(bytes), bytes, PARTS)
  },

  targets: [
    { peer: 'tributary', than: 'tusd', atLeast: 1.2, says: '8 parallel parts and the final: 1.2 times tusd' },
  ],
}
