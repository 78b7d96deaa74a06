import { concatenate, createAll, head, patch } from './tus.mjs'

const MIB = 1024 * 1024
const PARTIAL = { 'Upload-Concat': 'partial' }

/**
 * Sends a file so many times at once, as the parts of one upload, and makes the final. Resolves with the sample: MiB/s from the first PATCH to
 * the answer to the final, by the clock of the wall, and the milliseconds of the final alone.
 */
export async function uploadInParts(url, file, bytes, count) {
  const parts = await createAll(url, Array(count).fill({ length: bytes, headers: PARTIAL }))
  const began = performance.now()
  await Promise.all(parts.map((part) => patch(part, file, bytes)))
  const [final] = await concatenate(url, parts, ['parallel.bin'])
  const seconds = (performance.now() - began) / 1000
  const { length } = await head(final.url)
  if (length !== count * bytes) throw new Error(`the final has ${length} bytes instead of ${count * bytes}`)
  return {
    value: (count * bytes) / MIB / seconds,
    bytes: count * bytes,
    extra: { finalMs: final.seconds * 1000 },
  }
}
