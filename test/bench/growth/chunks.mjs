import { begin, finish, putChunks } from '../load/frago.mjs'
import { spread } from '../measure/spread.mjs'

const BYTES = 2 * 1024 * 1024
const CHUNK = 64 * 1024

/** Uploads some files in chunks over one connection. Resolves with the medians, in ms, of a chunk and of a finish. */
export async function uploadChunked({ frago }, files, uploads) {
  const chunks = await files.chunks(BYTES, CHUNK)
  const digest = (await files.digest(BYTES, 'md5')).toString('hex')
  const chunkTimes = []
  const finishTimes = []
  for (let count = 0; count < uploads; count++) {
    const upload = await begin(frago, `${performance.now()}.bin`, BYTES)
    const answers = await putChunks(upload, chunks, BYTES)
    chunkTimes.push(...answers.map(({ seconds }) => seconds * 1000))
    finishTimes.push((await finish(upload, digest)) * 1000)
  }
  return { chunk: spread(chunkTimes).median, finish: spread(finishTimes).median }
}
