import { curl, curlAll, expectStatus } from './curl.mjs'

const JSON_BODY = { 'Content-Type': 'application/json' }

/** Resolves with the URL of a new upload. */
export async function begin(url, filename, size) {
  const answer = await post(`${url}/`, { filename, total_size: size })
  return `${url}/${JSON.parse(answer.body).upload_id}/`
}

/** Sends chunks by several clients at once: of four, the first sends the 1st, 5th, 9th …, so that they arrive about in order. */
export async function sendChunks(upload, chunks, size, { clients, rate }) {
  const shares = Array.from({ length: clients }, (_, client) =>
    chunks.filter((_, index) => index % clients === client),
  )
  await Promise.all(shares.map((share) => putChunks(upload, share, size, rate)))
}

/** Resolves with the seconds it took. */
export async function finish(upload, digest) {
  const { seconds } = await post(upload, { checksum: digest, checksum_algo: 'md5' })
  return seconds
}

/** One after the other over one connection. Resolves with the answers; rejects when one is not a 200. */
export async function putChunks(upload, chunks, size, rate) {
  const answers = await curlAll(
    chunks.map(({ path, start, stop }) => ({
      method: 'PUT',
      url: upload,
      headers: { 'Content-Range': `bytes ${start}-${stop - 1}/${size}` },
      form: `file=@${path}`,
      rate,
    })),
  )
  return answers.map((answer) => expectStatus(answer, 200))
}

async function post(url, fields) {
  const text = JSON.stringify(fields)
  return expectStatus(await curl({ method: 'POST', url, headers: JSON_BODY, text }), 201)
}
