/**
 * curl uploads a large file in chunks to the facade for frago's clients: how long the chunks took, how long finishing took
 * after the last of them, and how much memory the server's process needed at most (VmHWM, Linux). Needs a build. Figures
 * are medians with minimum and maximum over the runs; each run has a server and a directory of its own. With a rate, each
 * client is held to it, so that the digest keeps up and only the tail is left to hash.
 *
 *   [DATABASE_URL=…] node test/bench/chunked-upload.mjs [MiB] [MiB a chunk] [clients] [runs] [MB/s a client] [algorithm]
 */
import { spawn } from 'node:child_process'
import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MIB = 1024 * 1024
const [mib = '1024', chunkMib = '8', clients = '4', runs = '3', rate = '', algorithm = 'md5'] =
  process.argv.slice(2)
const MAIN = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))
const SIZE = Number(mib) * MIB
const CHUNK = Number(chunkMib) * MIB

const directory = await mkdtemp(join(tmpdir(), 'chunked-upload-'))
try {
  const { chunks, digest } = await generate()
  const results = []
  for (let run = 0; run < Number(runs); run++) results.push(await measure(chunks, digest, run))
  report(results)
} finally {
  await rm(directory, { recursive: true, force: true })
}

/** Chunks as files, since curl takes the length of a part from them. Random bytes: no layer can make them fewer. */
async function generate() {
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16))
  const hash = createHash(algorithm)
  const chunks = []
  for (let start = 0; start < SIZE; start += CHUNK) {
    const bytes = cipher.update(Buffer.alloc(Math.min(CHUNK, SIZE - start)))
    hash.update(bytes)
    const path = join(directory, `chunk-${start}`)
    await writeFile(path, bytes)
    chunks.push({ path, start, stop: start + bytes.length })
  }
  return { chunks, digest: hash.digest('hex') }
}

async function measure(chunks, digest, run) {
  const dataDir = join(directory, `run-${run}`)
  const server = await start(dataDir)
  try {
    const { upload_id: id } = await post(server.base, { filename: 'large.bin', total_size: SIZE })
    const url = `${server.base}${id}/`
    const began = performance.now()
    const waiting = [...chunks]
    await Promise.all(Array.from({ length: Number(clients) }, () => send(url, waiting)))
    const sent = performance.now()
    await post(url, { checksum: digest, checksum_algo: algorithm })
    const finished = performance.now()
    return {
      chunksMs: sent - began,
      finishMs: finished - sent,
      peakMib: await peakMemory(server.pid),
    }
  } finally {
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}

async function send(url, waiting) {
  for (let chunk = waiting.shift(); chunk !== undefined; chunk = waiting.shift()) {
    const range = `Content-Range: bytes ${chunk.start}-${chunk.stop - 1}/${SIZE}`
    const limit = rate === '' ? [] : ['--limit-rate', `${Number(rate) * 1000}K`]
    const args = ['-sS', '--fail', '-X', 'PUT', ...limit, '-H', range, '-F', `file=@${chunk.path}`, url]
    const curl = spawn('curl', args, { stdio: ['ignore', 'ignore', 'inherit'] })
    const [code] = await once(curl, 'close')
    if (code !== 0) throw new Error(`curl ended with ${code}`)
  }
}

async function post(url, fields) {
  const headers = { 'Content-Type': 'application/json' }
  const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(fields) })
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`)
  return answer.json()
}

async function start(dataDir) {
  const { PATH, HOME, DATABASE_URL } = process.env
  // A schema of its own: a run must not find what another left.
  const database = DATABASE_URL && {
    DATABASE_URL,
    DATABASE_SCHEMA: `bench_${randomBytes(6).toString('hex')}`,
  }
  const server = spawn(process.execPath, [MAIN, 'serve'], {
    env: { PATH, HOME, ...database, DATA_DIR: dataDir, PORT: '0' },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const closed = once(server, 'close')
  const [line] = await Promise.race([
    once(server.stdout, 'data'),
    closed.then(([code]) => Promise.reject(new Error(`the server ended with ${code}`))),
  ])
  const { origin } = new URL(/http:\S+/.exec(String(line))?.[0] ?? '')
  return {
    base: `${origin}/upload/`,
    pid: server.pid,
    stop: async () => {
      server.kill('SIGTERM')
      await closed
    },
  }
}

async function peakMemory(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
}

function report(results) {
  console.log(
    `${mib} MiB in chunks of ${chunkMib} MiB, ${clients} clients, ${algorithm}, ${results.length} runs`,
  )
  const seconds = results.map(({ chunksMs }) => chunksMs / 1000)
  console.log(`chunks: ${spread(seconds, 2)} s`)
  console.log(
    `finish: ${spread(
      results.map(({ finishMs }) => finishMs),
      0,
    )} ms`,
  )
  console.log(
    `peak memory of the server: ${spread(
      results.map(({ peakMib }) => peakMib),
      0,
    )} MiB`,
  )
}

function spread(values, digits) {
  const sorted = values.toSorted((a, b) => a - b)
  const median = sorted[Math.floor((sorted.length - 1) / 2)]
  const [least, most] = [sorted[0], sorted.at(-1)]
  return `${median.toFixed(digits)} (${least.toFixed(digits)}-${most.toFixed(digits)})`
}
