import { create, patch } from '../load/tus.mjs'

const MIB = 1024 * 1024

export const s3Stream = {
  name: 's3-stream',
  title: ({ bytes }) => `S3: ${bytes / MIB} MiB in one request`,
  notes:
    'As above, with the bytes in S3: all on one S3 server, versitygw, on the same machine. Its processor time is not counted.',
  unit: 'MiB/s',
  better: 'more',
  profiles: true,
  needs: ['curl'],
  fills: ({ bytes }) => 2 * bytes,
  sizes: { smoke: { bytes: 64 * MIB }, full: { bytes: 1024 * MIB } },
  peers: [{ as: 'tributary', peer: 'tributary-s3' }, 'tusd-s3', 'tus-server-s3'],

  async measure({ running, size: { bytes }, files }) {
    const upload = await create(running.url, bytes)
    return { value: bytes / MIB / (await patch(upload, await files.random(bytes), bytes)), bytes }
  },

  targets: [
    {
      peer: 'tributary',
      than: 'tus-server-s3',
      atLeast: 1.2,
      says: 'S3, one stream: 1.2 times @tus/s3-store',
    },
    { peer: 'tributary', than: 'tusd-s3', atLeast: 1, says: 'S3, one stream: as fast as tusd' },
  ],
}
