// @ts-check
/**
 * What runs in each thread of HashThreads. Plain JavaScript, because Node 20 starts no thread from TypeScript, and
 * tests run from the sources.
 */
import { createHash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import { crc32 } from 'node:zlib'

/** @typedef {import('./hash-threads.js').HashCall} HashCall */
/** @typedef {import('./hash-threads.js').HashAnswer} HashAnswer */
/** @typedef {{ update(bytes: Uint8Array): void, digest(): Uint8Array }} LocalHasher */

if (parentPort === null) throw new Error('This file is for a thread of its own.')
const port = parentPort

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
  hashers.delete(call.hasher)
  if (call.call === 'digest') say({ hasher: call.hasher, digest: hasher.digest() })
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
