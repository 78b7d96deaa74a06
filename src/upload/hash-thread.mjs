// @ts-check
/**
 * What runs in each thread of HashThreads. Plain JavaScript, because Node 20 starts no thread from TypeScript, and
 * tests run from the sources.
 */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { crc32 } from 'node:zlib'

/** @typedef {import('./hash-threads.js').HashCall} HashCall */
/** @typedef {import('./hash-threads.js').HashAnswer} HashAnswer */
/** @typedef {import('./hash-threads.js').FileRange} FileRange */
/** @typedef {import('./hash-threads.js').FilesHashed} FilesHashed */
/** @typedef {{ update(bytes: Uint8Array): void, digest(): Uint8Array }} LocalHasher */

if (parentPort === null) throw new Error('This file is for a thread of its own.')
const port = parentPort

/** Small enough to stay in a cache next to the processor between being read and being hashed. */
const READ_BYTES = 256 * 1024

/** One for all files: nothing else runs while one is read.
 * @type {Uint8Array | null} */
let memory = null

/** @type {Map<number, LocalHasher>} */
const hashers = new Map()

port.on('message', (/** @type {HashCall} */ call) => {
  try {
    obey(call)
  } catch (error) {
    hashers.delete(call.hasher)
    say({ hasher: call.hasher, failed: error })
  }
})

/** @param {HashCall} call */
function obey(call) {
  if (call.call === 'open') {
    hashers.set(call.hasher, makeHasher(call.openssl))
    return
  }
  const hasher = hashers.get(call.hasher)
  // It failed before, and that was said: what was sent since then is dropped.
  if (hasher === undefined) return
  if (call.call === 'update') {
    hasher.update(new Uint8Array(call.bytes))
    say({ hasher: call.hasher, hashed: call.bytes.byteLength })
    return
  }
  if (call.call === 'updateFrom') {
    say({ hasher: call.hasher, files: hashFiles(hasher, call.files) })
    return
  }
  hashers.delete(call.hasher)
  if (call.call === 'digest') say({ hasher: call.hasher, digest: hasher.digest() })
}

/**
 * @param {LocalHasher} hasher
 * @param {readonly FileRange[]} files
 * @returns {FilesHashed}
 */
function hashFiles(hasher, files) {
  let hashed = 0
  for (const file of files) {
    try {
      const read = hashFile(hasher, file, (length) => {
        hashed += length
      })
      if (!read) return { hashed, ended: 'short' }
    } catch (error) {
      if (!isSystemError(error)) throw error
      return { hashed, ended: error.code === 'ENOENT' ? 'gone' : 'failed', cause: error }
    }
  }
  return { hashed, ended: 'end' }
}

/**
 * Opened for each slice, which costs microseconds: so none stays open while a hasher rests.
 * @param {LocalHasher} hasher
 * @param {FileRange} file
 * @param {(length: number) => void} hashed
 * @returns {boolean} false where the file ended early
 */
function hashFile(hasher, { path, from, to }, hashed) {
  memory ??= new Uint8Array(READ_BYTES)
  const fd = openSync(path, 'r')
  try {
    for (let at = from; at < to; ) {
      const read = readSync(fd, memory, 0, Math.min(READ_BYTES, to - at), at)
      if (read === 0) return false
      hasher.update(memory.subarray(0, read))
      hashed(read)
      at += read
    }
    return true
  } finally {
    closeSync(fd)
  }
}

/**
 * @param {unknown} error
 * @returns {error is NodeJS.ErrnoException}
 */
function isSystemError(error) {
  return error instanceof Error && 'syscall' in error
}

/** @param {HashAnswer} answer */
function say(answer) {
  port.postMessage(answer)
}

/**
 * @param {string | null} openssl
 * @returns {LocalHasher}
 */
function makeHasher(openssl) {
  if (openssl !== null) {
    const hash = createHash(openssl)
    return { update: (bytes) => void hash.update(bytes), digest: () => new Uint8Array(hash.digest()) }
  }
  let value = 0
  return {
    update: (bytes) => {
      value = crc32(bytes, value)
    },
    digest: () => {
      const bytes = new Uint8Array(4)
      new DataView(bytes.buffer).setUint32(0, value)
      return bytes
    },
  }
}
