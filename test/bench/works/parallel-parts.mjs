import { concatenate, createAll, head, patch } from '../load/tus.mjs'

const MIB = 1024 * 1024
const PARTS = 8
const PARTIAL = { 'Upload-Concat': 'partial' }

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
  sizes: { smoke: { bytes: 8 * MIB }, full: { bytes: 128 * MIB } },
  peers: ['tributary', 'tributary-strict', 'tusd'],
  columns: { finalMs: 'final alone, ms' },

  async measure({ running, size: { bytes }, files }) {
    const file = await files.random(bytes)
    const uploads = Array.from({ length: PARTS }, () => ({ length: bytes, headers: PARTIAL }))
    const parts = await createAll(running.url, uploads)
    const began = performance.now()
    await Promise.all(parts.map((part) => patch(part, file, bytes)))
    const [final] = await concatenate(running.url, parts, ['parallel.bin'])
    const seconds = (performance.now() - began) / 1000
    const { length } = await head(final.url)
    if (length !== PARTS * bytes) throw new Error(`the final has ${length} bytes instead of ${PARTS * bytes}`)
    return {
      value: (PARTS * bytes) / MIB / seconds,
      bytes: PARTS * bytes,
      extra: { finalMs: final.seconds * 1000 },
    }
  },

  targets: [
    { peer: 'tributary', than: 'tusd', atLeast: 1.2, says: '8 parallel parts and the final: 1.2 times tusd' },
  ],
}
