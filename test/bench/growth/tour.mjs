import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

const TUS = { 'Tus-Resumable': '1.0.0' }
const BYTES = { ...TUS, 'Content-Type': 'application/offset+octet-stream' }
const JSON_BODY = { 'Content-Type': 'application/json' }
const SIZE = 4096
/** Longer than the second between two checkpoints. */
const PAUSE = 1_200

/**
 * Everything a client can make a server ask its database, once around. Not to be timed: it is there so that no statement
 * is left out when their plans are judged.
 */
export async function tour({ url, frago }) {
  await whole(url)
  await parts(url)
  await chunks(url, frago)
}

async function whole(url) {
  const upload = await create(url, { 'Upload-Defer-Length': '1' })
  const bytes = randomBytes(SIZE)
  await append(upload, slowly(bytes), 0, { 'Upload-Length': String(2 * SIZE) })
  await ask('HEAD', upload, 200, TUS)
  await append(upload, bytes, SIZE)
  await ask('GET', upload, 200)
  await ask('DELETE', upload, 204, TUS)
  const stored = await create(url, { ...BYTES, 'Upload-Length': String(SIZE) }, bytes)
  await ask('DELETE', stored, 204, TUS)
}

async function parts(url) {
  const kind = { 'Upload-Concat': 'partial', 'Upload-Length': String(SIZE) }
  const urls = [await create(url, kind), await create(url, kind)]
  // Once while it has to wait for its parts, once when they are there.
  const early = await concatenate(url, urls, 'early')
  for (const part of urls) await append(part, randomBytes(SIZE), 0)
  await concatenate(url, urls, 'early')
  const late = await concatenate(url, urls, 'late')
  // By then one of them has been assembled, or is at it.
  for (const upload of [...urls, early, late]) await ask('DELETE', upload, 204, TUS)
}

async function chunks(url, frago) {
  const bytes = randomBytes(2 * SIZE)
  const begun = await ask(
    'POST',
    `${frago}/`,
    201,
    JSON_BODY,
    JSON.stringify({ filename: 'tour.bin', total_size: 2 * SIZE }),
  )
  const { upload_id: id } = JSON.parse(begun.text)
  const upload = `${frago}/${id}/`
  await put(upload, bytes, SIZE)
  await put(upload, Buffer.alloc(2 * SIZE), 0)
  // The same again, and another in its place.
  await put(upload, Buffer.alloc(2 * SIZE), 0)
  await put(upload, bytes, 0)
  await ask('GET', upload, 200)
  const checksum = createHash('md5').update(bytes).digest('hex')
  for (let time = 0; time < 2; time++) {
    await ask('POST', upload, 201, JSON_BODY, JSON.stringify({ checksum, checksum_algo: 'md5' }))
  }
  await ask('GET', `${url}/${id}`, 200)
  await ask('DELETE', `${url}/${id}`, 204, TUS)
}

async function create(url, headers, body) {
  const answer = await ask('POST', url, 201, { ...TUS, ...headers }, body)
  return new URL(answer.headers.get('Location'), url).href
}

function append(upload, body, offset, headers) {
  return ask('PATCH', upload, 204, { ...BYTES, 'Upload-Offset': String(offset), ...headers }, body)
}

function concatenate(url, urls, name) {
  const metadata = `filename ${Buffer.from(name).toString('base64')}`
  return create(url, { 'Upload-Concat': `final;${urls.join(' ')}`, 'Upload-Metadata': metadata })
}

function put(upload, bytes, start) {
  const body = new FormData()
  body.set('file', new Blob([bytes.subarray(start, start + SIZE)]))
  return ask(
    'PUT',
    upload,
    200,
    { 'Content-Range': `bytes ${start}-${start + SIZE - 1}/${bytes.length}` },
    body,
  )
}

async function* slowly(bytes) {
  yield bytes.subarray(0, bytes.length / 2)
  await sleep(PAUSE)
  yield bytes.subarray(bytes.length / 2)
}

async function ask(method, url, expected, headers, body) {
  const answer = await fetch(url, { method, headers, body, ...(body && { duplex: 'half' }) })
  const text = await answer.text()
  if (answer.status === expected) return { headers: answer.headers, text }
  throw new Error(`${method} ${url} was answered with ${answer.status}: ${text}`)
}
