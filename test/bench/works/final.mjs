import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { reach } from '../growth/database.mjs'
import { concatenate, createAll, head } from '../load/tus.mjs'
import { spread } from '../measure/spread.mjs'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const PARTIAL = { 'Upload-Concat': 'partial' }
/** The answer is what is looked at, not what it leaves for later. */
const UNASSEMBLED = { ASSEMBLY: 'never' }

export const final = {
  name: 'final',
  title: 'The final alone: how long until many parts are one upload',
  notes:
    'POST with `Upload-Concat: final`, several times over one connection; the first of them apart. The parts of 16 GiB are sparse files, with ' +
    'rows as uploads leave them. For tusd the time is that of copying.',
  unit: 'ms',
  better: 'less',
  needs: ['curl'],
  sizes: { smoke: { finals: 5, copies: 3 }, full: { finals: 20, copies: 5 } },
  peers: [
    { as: 'tributary', peer: 'tributary', title: 'Tributary, 8 parts, 64 MiB', env: UNASSEMBLED },
    { as: 'tributary 16 GiB', peer: 'tributary', title: 'Tributary, 8 parts, 16 GiB', env: UNASSEMBLED },
    { as: 'tributary many', peer: 'tributary', title: 'Tributary, 500 parts', env: UNASSEMBLED },
    { as: 'tusd', peer: 'tusd', title: 'tusd, 8 parts, 64 MiB' },
  ],
  columns: { firstMs: 'first, ms' },

  async measure({ lane, running, size, files }) {
    const { parts, bytes } = await MAKE[lane.as](running, size, files)
    const names = Array.from({ length: lane.as === 'tusd' ? size.copies : size.finals }, (_, n) => `${n}.bin`)
    const finals = await concatenate(running.url, parts, names)
    const { length } = await head(finals[0].url)
    if (length !== bytes) throw new Error(`the final has ${length} bytes instead of ${bytes}`)
    const [first, ...others] = finals.map(({ seconds }) => seconds * 1000)
    return { value: spread(others).median, extra: { firstMs: first } }
  },

  targets: [
    { peer: 'tributary', atMost: 15, says: 'final of 64 MiB: 15 ms' },
    { peer: 'tributary 16 GiB', atMost: 15, says: 'final of 16 GiB: 15 ms' },
    {
      peer: 'tributary 16 GiB',
      than: 'tributary',
      atMost: 1.25,
      says: 'final of 16 GiB: as of 64 MiB, give or take',
    },
    { peer: 'tributary many', atMost: 100, says: 'final of 500 parts: 100 ms' },
  ],
}

const real = async (running, _size, files) => uploadParts(running, 8, await files.random(8 * MIB), 8 * MIB)

const MAKE = {
  tributary: real,
  tusd: real,
  'tributary 16 GiB': sparse,
  'tributary many': async (running, _size, files) =>
    uploadParts(running, 500, await files.random(64 * 1024), 64 * 1024),
}

async function uploadParts(running, count, file, length) {
  const upload = { length, headers: PARTIAL, file }
  const parts = await createAll(running.url, Array(count).fill(upload))
  return { parts, bytes: count * length }
}

/** Small parts that are enlarged where they lie: 16 GiB are never written. */
async function sparse(running, _size, files) {
  const length = 2 * GIB
  const { parts } = await uploadParts(running, 8, await files.random(MIB), MIB)
  const { client, s, dataDir } = await reach(running)
  try {
    const ids = parts.map((part) => part.slice(part.lastIndexOf('/') + 1))
    await client.query(`update ${s}.uploads set length = $2 where id = any($1)`, [ids, length])
    await client.query(`update ${s}.received set stop = $2 where upload_id = any($1)`, [ids, length])
    const { rows } = await client.query(
      `select b.id, b.epoch from ${s}.extents e join ${s}.blobs b on b.id = e.blob_id where e.upload_id = any($1)`,
      [ids],
    )
    for (const { id, epoch } of rows)
      await truncate(join(dataDir, 'blobs', epoch, id.slice(0, 2), id), length)
  } finally {
    await client.end()
  }
  return { parts, bytes: 8 * length }
}
