import { uploadInParts } from '../load/in-parts.mjs'
import { createAll, patch } from '../load/tus.mjs'

const MIB = 1024 * 1024
const PARTS = 8

export const s3Parallel = {
  name: 's3-parallel',
  title: ({ bytes }) => `S3: ${PARTS} parts of ${bytes / MIB} MiB at once, and the final`,
  notes:
    'From the first PATCH to the answer to the final; @tus/s3-store, which has no concatenation, takes one upload of as many bytes in all instead.',
  unit: 'MiB/s',
  better: 'more',
  profiles: true,
  needs: ['curl'],
  fills: ({ bytes }) => 3 * PARTS * bytes,
  sizes: { smoke: { bytes: 8 * MIB }, full: { bytes: 128 * MIB } },
  peers: [{ as: 'tributary', peer: 'tributary-s3' }, 'tusd-s3', 'tus-server-s3'],
  columns: { finalMs: 'final alone, ms' },

  async measure({ peer, running, size: { bytes }, files }) {
    if (!peer.speaks.has('concatenation')) return oneStream(running, PARTS * bytes, files)
    return uploadInParts(running.url, await files.random(bytes), bytes, PARTS)
  },

  targets: [
    {
      peer: 'tributary',
      than: 'tus-server-s3',
      atLeast: 1.5,
      says: 'S3, 8 parts and the final: 1.5 times @tus/s3-store with one stream',
    },
    { peer: 'tributary', of: 'finalMs', unit: 'ms', atMost: 30, says: 'S3, the final: 30 ms' },
  ],
}

async function oneStream(running, bytes, files) {
  const [upload] = await createAll(running.url, [{ length: bytes }])
  return { value: bytes / MIB / (await patch(upload, await files.random(bytes), bytes)), bytes }
}
