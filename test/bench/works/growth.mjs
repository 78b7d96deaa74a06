import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { alternate } from '../growth/alternate.mjs'
import { reach } from '../growth/database.mjs'
import { fill } from '../growth/fill.mjs'
import { writeList } from '../growth/heads.mjs'
import { scannedRows } from '../growth/scans.mjs'
import { sweepDue } from '../growth/sweep.mjs'
import { tour } from '../growth/tour.mjs'
import { createAll } from '../load/tus.mjs'

const HEADED = 10_000
/** Those of the empty database, which is to have something to be asked for. */
const UPLOADS = 100
const BYTES = 4096
/** Six times make PostgreSQL choose the plan it keeps; and each of some connections has to come to that. */
const TOURS = 12

const thousands = (number) => number.toLocaleString('en')

export const growth = {
  name: 'growth',
  title: ({ uploads, ranges }) =>
    `Growth: ${thousands(uploads)} uploads and ${thousands(ranges)} ranges in the database`,
  notes:
    'How many times as long it takes as with an empty database; two servers in turns, medians of several rounds. HEAD by wrk (as POST with ' +
    '`X-HTTP-Method-Override`, since wrk cannot read answers to HEAD); chunks of 64 KiB of frago and their finish by curl. Then uploads ' +
    'that are all due at once are swept, with HEADs going on.',
  unit: '× an empty one, the worst of three',
  better: 'less',
  needs: ['curl', 'wrk', 'xargs', 'touch'],
  // It has two servers at a time, and filling one takes minutes.
  bare: true,
  rounds: 1,
  sizes: {
    smoke: { uploads: 10_000, ranges: 100_000, due: 1_000, rounds: 2, seconds: 1, chunked: 2, patience: 60 },
    full: {
      uploads: 1_000_000,
      ranges: 10_000_000,
      due: 100_000,
      rounds: 6,
      seconds: 4,
      chunked: 10,
      patience: 600,
    },
  },
  peers: ['tributary'],
  columns: {
    head: 'HEAD, ×',
    chunk: 'chunk, ×',
    finish: 'finish, ×',
    scanned: 'rows read by sequential scans',
    sweepSeconds: 'sweep, s',
    sweepHead: '99th percentile of HEAD during the sweep, ×',
  },

  async measure({ peer, size, files, tools, directory }) {
    return withServer(peer, { tools, directory: join(directory, 'empty') }, (empty) =>
      withServer(peer, { tools, directory: join(directory, 'filled') }, (filled) =>
        compare({ empty, filled, size, files, directory }),
      ),
    )
  },

  targets: [
    ...Object.entries({ head: 'HEAD', chunk: 'chunk', finish: 'finish' }).map(([of, name]) => ({
      ...{ peer: 'tributary', of, unit: '×', atMost: 1.5 },
      says: `${name} with a million uploads and ten million ranges: 1.5 times an empty database`,
    })),
    {
      peer: 'tributary',
      of: 'scanned',
      unit: 'rows',
      atMost: 0,
      says: 'no sequential scan of a table that grows',
    },
    {
      peer: 'tributary',
      of: 'sweepSeconds',
      unit: 's',
      atMost: 60,
      says: 'sweep of 100,000 expired uploads: 60 s',
    },
    {
      peer: 'tributary',
      of: 'sweepHead',
      unit: '×',
      atMost: 2,
      says: '99th percentile meanwhile: twice that before',
    },
  ],
}

async function withServer(peer, { tools, directory }, work) {
  await mkdir(directory)
  const running = await peer.start({ tools, directory })
  try {
    return await work(running)
  } finally {
    await running.stop()
  }
}

async function compare({ empty, filled, size, files, directory }) {
  const database = await reach(filled)
  try {
    await fill(database, size)
    const list = await writeList(join(directory, 'filled.list'), await someUploads(database, filled))
    const emptyList = await writeList(join(directory, 'empty.list'), await newUploads(empty, files))
    const before = await scannedRows(database)
    const ratios = await alternate(
      { running: empty, list: emptyList },
      { running: filled, list },
      size,
      files,
    )
    for (let time = 0; time < TOURS; time++) await tour(filled)
    const sweep = await sweepDue(filled, database, { ...size, list })
    return sample(ratios, sweep, difference(before, await scannedRows(database)))
  } finally {
    await database.client.end()
  }
}

function sample(ratios, sweep, scanned) {
  const medians = Object.entries(ratios).map(([name, { median }]) => [name, median])
  const ends = Object.entries(ratios).flatMap(([name, { min, max }]) => [
    [`${name}, least`, min],
    [`${name}, most`, max],
  ])
  const tables = Object.entries(scanned).map(([table, rows]) => [`scanned in ${table}`, rows])
  return {
    value: Math.max(...medians.map(([, median]) => median)),
    extra: {
      ...Object.fromEntries([...medians, ...ends, ...tables]),
      scanned: Object.values(scanned).reduce((sum, rows) => sum + rows, 0),
      sweepSeconds: sweep.seconds,
      sweepHead: sweep.meanwhile / sweep.before,
    },
  }
}

/** Ones that anybody may ask for, from everywhere in the tables. */
async function someUploads({ client, s }, { url }) {
  const { rows } = await client.query(
    `select id from ${s}.uploads where owner is null and protocol = 'tus' and status <> 'expired' order by random() limit $1`,
    [HEADED],
  )
  return rows.map(({ id }) => `${url}/${id}`)
}

async function newUploads({ url }, files) {
  const upload = { length: BYTES, file: await files.random(BYTES) }
  return createAll(url, Array(UPLOADS).fill(upload))
}

function difference(before, after) {
  return Object.fromEntries(
    Object.entries(after).map(([table, rows]) => [table, rows - (before[table] ?? 0)]),
  )
}
