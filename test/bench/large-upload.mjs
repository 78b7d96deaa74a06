/**
 * tus-js-client uploads a large file in parallel to the server as its users start it: how long the final POST takes,
 * whether the download is byte-identical, and how much memory the server's process took at most (VmHWM, Linux), the
 * assembly included. Needs a build. Figures are medians over the runs; each has a server and a directory of its own.
 *
 *   [DATABASE_URL=…] node test/bench/large-upload.mjs [MiB] [parallel uploads] [runs] [directory]
 */
import { spawn } from 'node:child_process'
import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Upload } from 'tus-js-client'

const MIB = 1024 * 1024
const [mib = '1024', parallel = '8', runs = '3', parent = tmpdir()] = process.argv.slice(2)
const MAIN = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url))

const directory = await mkdtemp(join(parent, 'large-upload-'))
try {
  const file = join(directory, 'file')
  const digest = await generate(file, Number(mib))
  const results = []
  for (let run = 0; run < Number(runs); run++) results.push(await measure(file, digest, run))
  report(results)
} finally {
  await rm(directory, { recursive: true, force: true })
}

/** Random bytes, so that no layer can make them fewer. Resolves with their SHA-256. */
async function generate(path, size) {
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16))
  const hash = createHash('sha256')
  const zeros = Buffer.alloc(MIB)
  const pieces = function* () {
    for (let piece = 0; piece < size; piece++) {
      const bytes = cipher.update(zeros)
      hash.update(bytes)
      yield bytes
    }
  }
  await pipeline(Readable.from(pieces(), { highWaterMark: 2 }), createWriteStream(path))
  return hash.digest('hex')
}

async function measure(file, digest, run) {
  const dataDir = join(directory, `run-${run}`)
  const server = await start(dataDir)
  try {
    const began = performance.now()
    const { url, finalMs } = await upload(server.endpoint, file)
    const uploadMs = performance.now() - began
    const uploadMib = await peakMemory(server.pid)
    const downloaded = await digestOf(url)
    await untilAssembled(join(dataDir, 'blobs'))
    const assembled = await digestOf(url)
    return {
      finalMs,
      uploadMs,
      uploadMib,
      identical: downloaded === digest && assembled === digest,
      peakMib: await peakMemory(server.pid),
    }
  } finally {
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}

async function start(dataDir) {
  const { PATH, HOME, DATABASE_URL } = process.env
  // A schema of its own: a run must not find what another left.
  const database = DATABASE_URL && {
    DATABASE_URL,
    DATABASE_SCHEMA: `bench_${randomBytes(6).toString('hex')}`,
  }
  const env = { PATH, HOME, PORT: '0', DATA_DIR: dataDir, ...database }
  const child = spawn(process.execPath, [MAIN, 'serve'], { env, stdio: ['ignore', 'pipe', 'ignore'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text
  })
  const ended = once(child, 'close').then(([code]) => {
    throw new Error(`the server ended with ${code}`)
  })
  ended.catch(() => undefined)
  while (!/ready at (\S+)\n/.test(output)) await Promise.race([once(child.stdout, 'data'), ended])
  return {
    pid: child.pid,
    endpoint: /ready at (\S+)\n/.exec(output)?.[1],
    stop: async () => {
      child.kill('SIGTERM')
      await ended.catch(() => undefined)
    },
  }
}

/** Resolves with the final's URL and how long its POST took, as the client sees it. */
async function upload(endpoint, file) {
  let asked = 0
  let finalMs = Number.NaN
  const isFinal = (request) => request.getHeader('Upload-Concat')?.startsWith('final')
  const url = await new Promise((resolve, reject) => {
    const sending = new Upload(createReadStream(file), {
      endpoint,
      parallelUploads: Number(parallel),
      onBeforeRequest: (request) => {
        if (isFinal(request)) asked = performance.now()
      },
      onAfterResponse: (request) => {
        if (isFinal(request)) finalMs = performance.now() - asked
      },
      onError: reject,
      onSuccess: () => resolve(sending.url),
    })
    sending.start()
  })
  return { url, finalMs }
}

async function digestOf(url) {
  const hash = createHash('sha256')
  const [response] = await once(get(url), 'response')
  for await (const piece of response) hash.update(piece)
  return hash.digest('hex')
}

/** The parts' files go when everything lies in one. */
async function untilAssembled(blobs) {
  const files = async () =>
    (await readdir(blobs, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
  while ((await files()).length > 1) await sleep(100)
}

async function peakMemory(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
}

function report(results) {
  const each = (name) => results.map((result) => Math.round(result[name]))
  const show = (name, unit) => `${Math.round(median(each(name)))} ${unit} (${each(name).join(' ')})`
  console.log(`${mib} MiB, parallelUploads ${parallel}, medians over ${runs} runs`)
  console.log(`final POST:  ${show('finalMs', 'ms')}`)
  console.log(
    `peak RSS:    ${show('peakMib', 'MiB')}, of which when the final was answered: ${show('uploadMib', 'MiB')}`,
  )
  console.log(`upload:      ${show('uploadMs', 'ms')}`)
  const identical = results.every((result) => result.identical)
  console.log(`download:    ${identical ? 'byte-identical' : 'DIFFERS'}, before and after the assembly`)
  if (!identical) process.exitCode = 1
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}
