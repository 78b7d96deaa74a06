import { begin, finish, sendChunks } from '../load/frago.mjs'
import { program } from '../load/program.mjs'

const MIB = 1024 * 1024
const CLIENTS = 4
/** 300 MB/s of all clients together. */
const RATE = 300_000_000 / CLIENTS

export const fragoChunks = {
  name: 'frago-chunks',
  title: ({ bytes, chunk }) =>
    `frago: ${bytes / MIB} MiB in chunks of ${chunk / MIB} MiB, ${CLIENTS} clients, md5`,
  notes:
    'From the start of the upload to the answer to its finish, by the clock of the wall. A client is one curl process that sends its chunks ' +
    'one after the other. “Upload alone” has the server take no digest; “md5sum” reads the file from the page cache. The paced lane holds ' +
    'the clients to 300 MB/s in all, so that only what the digest has left to do after the last chunk is seen.',
  unit: 's',
  better: 'less',
  profiles: true,
  needs: ['curl', 'md5sum'],
  fills: ({ bytes }) => 2 * bytes,
  sizes: { smoke: { bytes: 64 * MIB, chunk: 4 * MIB }, full: { bytes: 1024 * MIB, chunk: 8 * MIB } },
  peers: [
    'tributary',
    {
      as: 'upload alone',
      peer: 'tributary',
      title: 'Tributary, upload alone',
      env: { CHUNKED_UPLOADER_DO_CHECKSUM: 'false' },
    },
    { as: 'md5sum', title: 'md5sum (no server)' },
    { as: 'tributary paced', peer: 'tributary', title: 'Tributary, 300 MB/s', rate: RATE },
    'frago',
  ],
  columns: { finishMs: 'finish alone, ms' },

  async measure({ lane, running, size: { bytes, chunk }, files }) {
    if (lane.as === 'md5sum') return { value: await hashPass(await files.random(bytes)) }
    const chunks = await files.chunks(bytes, chunk)
    const digest = (await files.digest(bytes, 'md5')).toString('hex')
    const began = performance.now()
    const upload = await begin(running.frago, 'large.bin', bytes)
    await sendChunks(upload, chunks, bytes, { clients: CLIENTS, rate: lane.rate })
    const finishSeconds = await finish(upload, digest)
    const value = (performance.now() - began) / 1000
    return { value, bytes, extra: { finishMs: finishSeconds * 1000 } }
  },

  targets: [
    { peer: 'tributary', than: 'frago', atLeast: 3, says: 'chunks of frago: 3 times frago' },
    {
      peer: 'tributary',
      than: ['upload alone', 'md5sum'],
      atMost: 1.1,
      says: 'chunks of frago: 1.1 times the longer of upload alone and one hash pass',
    },
    {
      peer: 'tributary paced',
      of: 'finishMs',
      unit: 'ms',
      atMost: 100,
      says: 'chunks of frago at 300 MB/s: finish in 100 ms',
    },
  ],
}

async function hashPass(file) {
  const began = performance.now()
  const { code, stderr } = await program('md5sum', [file])
  if (code !== 0) throw new Error(`md5sum ended with ${code}: ${stderr}`)
  return (performance.now() - began) / 1000
}
