import { create, patch } from '../load/tus.mjs'

const MIB = 1024 * 1024
const lane = (algorithm, title) => ({ as: `tributary ${algorithm}`, peer: 'tributary', title, algorithm })

export const checksummed = {
  name: 'checksummed',
  title: ({ bytes }) => `Checksums: PATCH of ${bytes / MIB} MiB with Upload-Checksum`,
  unit: 'MiB/s',
  better: 'more',
  profiles: true,
  needs: ['curl'],
  fills: ({ bytes }) => bytes,
  sizes: { smoke: { bytes: 64 * MIB }, full: { bytes: 1024 * MIB } },
  peers: [
    { as: 'tributary', peer: 'tributary', title: 'Tributary, without' },
    lane('sha1', 'Tributary, sha1'),
    lane('sha256', 'Tributary, sha256'),
  ],

  async measure({ lane: { algorithm }, running, size: { bytes }, files }) {
    const file = await files.random(bytes)
    const upload = await create(running.url, bytes)
    const seconds = await patch(upload, file, bytes, algorithm && (await header(files, bytes, algorithm)))
    return { value: bytes / MIB / seconds, bytes }
  },

  targets: ['sha1', 'sha256'].map((algorithm) => ({
    peer: `tributary ${algorithm}`,
    than: 'tributary',
    atLeast: 0.85,
    says: `with ${algorithm}: 0.85 times without`,
  })),
}

async function header(files, bytes, algorithm) {
  const digest = await files.digest(bytes, algorithm)
  return { 'Upload-Checksum': `${algorithm} ${digest.toString('base64')}` }
}
