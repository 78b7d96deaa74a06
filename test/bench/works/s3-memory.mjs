import { createAll, patch } from '../load/tus.mjs'
import { usage } from '../measure/process-tree.mjs'

const MIB = 1024 * 1024
const UPLOADS = 16

export const s3Memory = {
  name: 's3-memory',
  title: ({ bytes }) => `S3: memory with ${UPLOADS} uploads of ${bytes / MIB} MiB at once`,
  notes: 'Most resident memory of the server since it was ready; the S3 server has its own.',
  unit: 'MiB',
  better: 'less',
  needs: ['curl'],
  fills: ({ bytes }) => 2 * UPLOADS * bytes,
  sizes: { smoke: { bytes: 8 * MIB }, full: { bytes: 64 * MIB } },
  peers: [{ as: 'tributary', peer: 'tributary-s3' }, 'tusd-s3', 'tus-server-s3'],

  async measure({ running, size: { bytes }, files }) {
    const file = await files.random(bytes)
    const uploads = await createAll(running.url, Array(UPLOADS).fill({ length: bytes }))
    await Promise.all(uploads.map((upload) => patch(upload, file, bytes)))
    return { value: usage(running.roots, running.database).peakMiB, bytes: UPLOADS * bytes }
  },

  targets: [{ peer: 'tributary', atMost: 250, says: 'S3, memory with 16 uploads at once: 250 MiB' }],
}
