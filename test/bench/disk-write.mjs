/**
 * How fast an HTTP request gets into a file through DiskByteStore, against a bare sink that does the least a server
 * can do: gather the request's buffers while a write is under way, and write them to one descriptor. Needs a build.
 *
 *   node test/bench/disk-write.mjs [strict|relaxed] [directory] [MiB per upload] [rounds]
 */
import { fork } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MIB = 1024 * 1024
const [durability = 'relaxed', parent = tmpdir(), mib = '1024', rounds = '5'] = process.argv.slice(2)

if (process.send === undefined) await main()
else process.on('message', ({ port, path, bytes }) => upload(port, path, bytes))

/** The client runs in a process of its own, and sends bytes as fast as the socket takes them. */
function upload(port, path, bytes) {
  const block = Buffer.alloc(MIB, 'tributary ')
  const socket = connect(port, '127.0.0.1')
  let left = bytes
  const fill = () => {
    while (left > 0) {
      const part = left < block.length ? block.subarray(0, left) : block
      left -= part.length
      if (!socket.write(part)) return
    }
  }
  socket.write(`PUT ${path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: ${bytes}\r\n\r\n`)
  socket.on('drain', fill)
  socket.on('close', () => process.send('done'))
  socket.resume()
  fill()
}

function bareSink(file, source) {
  return new Promise((resolve, reject) => {
    const fd = fs.openSync(file, 'wx')
    let waiting = []
    let position = 0
    let busy = false
    let ended = false
    const next = (error, written = 0) => {
      if (error) return reject(error)
      position += written
      busy = false
      if (waiting.length > 0) {
        busy = true
        const batch = waiting
        waiting = []
        source.resume()
        fs.writev(fd, batch, position, next)
      } else if (ended) {
        if (durability === 'strict') fs.fdatasyncSync(fd)
        fs.closeSync(fd)
        resolve(position)
      }
    }
    source.on('data', (bytes) => {
      waiting.push(bytes)
      if (!busy) next(null)
      else if (waiting.length >= 32) source.pause()
    })
    source.on('end', () => {
      ended = true
      if (!busy) next(null)
    })
  })
}

async function main() {
  const { DiskByteStore } = await import('../../dist/stores/disk/byte-store.js')
  const directory = fs.mkdtempSync(join(parent, 'disk-write-'))
  const store = new DiskByteStore({ directory: join(directory, 'blobs'), durability })
  await store.open()
  const bytes = Number(mib) * MIB
  const sinks = {
    bare: async (source) => {
      const file = join(directory, 'bare')
      const stored = await bareSink(file, source)
      return { stored, remove: () => fs.promises.unlink(file) }
    },
    store: async (source) => {
      const blob = { id: randomUUID(), epoch: 1 }
      const { stored } = await store.write(blob, 0, source, { limit: bytes, fresh: true }).done
      return { stored, remove: () => store.remove(blob) }
    },
  }
  let removed = Promise.resolve()
  const server = createServer(async (request, response) => {
    const { stored, remove } = await sinks[request.url.slice(1)](request)
    if (stored !== bytes) throw new Error(`${request.url}: ${stored} of ${bytes} bytes`)
    response.end()
    removed = remove()
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = fork(fileURLToPath(import.meta.url))
  const rates = { bare: [], store: [] }
  const cpu = { bare: [], store: [] }
  const memory = { bare: 0, store: 0 }
  for (let round = 0; round <= Number(rounds); round++) {
    for (const sink of round % 2 === 0 ? ['bare', 'store'] : ['store', 'bare']) {
      const sampler = setInterval(() => {
        memory[sink] = Math.max(memory[sink], process.memoryUsage.rss())
      }, 20)
      const before = process.cpuUsage()
      const started = performance.now()
      client.send({ port: server.address().port, path: `/${sink}`, bytes })
      await new Promise((resolve) => client.once('message', resolve))
      const rate = bytes / 1e6 / ((performance.now() - started) / 1000)
      clearInterval(sampler)
      await removed
      const { user, system } = process.cpuUsage(before)
      // The first round warms up.
      if (round === 0) continue
      rates[sink].push(rate)
      cpu[sink].push((user + system) / 1e6 / (bytes / 1e9))
    }
  }
  for (const [sink, values] of Object.entries(rates)) {
    const shown = values.map((rate) => Math.round(rate)).join(' ')
    const cost = `${median(cpu[sink]).toFixed(2)} CPU s/GB, RSS up to ${Math.round(memory[sink] / MIB)} MiB`
    console.log(`${sink}: median ${Math.round(median(values))} MB/s, ${cost} (${shown})`)
  }
  // Round by round, since what else the machine does changes more slowly than that.
  const ratios = rates.store.map((rate, round) => rate / rates.bare[round])
  console.log(`store / bare: median of rounds ${median(ratios).toFixed(2)}`)
  client.kill()
  server.close()
  fs.rmSync(directory, { recursive: true })
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}
