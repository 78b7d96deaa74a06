/**
 * The least a Node server can do with an upload, and so the floor for every other one: what arrives while a write is
 * under way goes into the next one, in one call. No protocol, no sync. PUT /NAME writes DIRECTORY/NAME.
 *
 *   node server.mjs PORT DIRECTORY
 */
import { closeSync, openSync, writev } from 'node:fs'
import { createServer } from 'node:http'
import { basename, join } from 'node:path'

/** Bytes that may wait for the disk before the client has to. */
const MOST_WAITING = 2 * 1024 * 1024
const [port, directory] = process.argv.slice(2)

function receive(request, response) {
  const fd = openSync(join(directory, basename(request.url)), 'w')
  let waiting = []
  let size = 0
  let position = 0
  let writing = false
  let complete = false

  const write = () => {
    if (writing) return
    if (size === 0) {
      if (complete) finish(201)
      return
    }
    const batch = { buffers: waiting, size }
    waiting = []
    size = 0
    writing = true
    writev(fd, batch.buffers, position, (error, written) => {
      writing = false
      if (error || written !== batch.size) return finish(507)
      position += written
      request.resume()
      write()
    })
  }
  const finish = (status) => {
    closeSync(fd)
    response.writeHead(status).end()
  }

  request.on('data', (bytes) => {
    waiting.push(bytes)
    size += bytes.length
    if (size >= MOST_WAITING) request.pause()
    write()
  })
  request.on('end', () => {
    complete = true
    write()
  })
}

// Node ends a request that takes longer than five minutes unless told not to.
createServer({ requestTimeout: 0 }, receive).listen(Number(port), '127.0.0.1')
