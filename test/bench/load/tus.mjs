import { curl, curlAll, expectStatus } from './curl.mjs'

const VERSION = { 'Tus-Resumable': '1.0.0' }
const BYTES = { 'Content-Type': 'application/offset+octet-stream' }

/** Resolves with the URL of a new upload. */
export async function create(url, length, headers = {}) {
  const [upload] = await createAll(url, [{ length, headers }])
  return upload
}

/** The same for several, over one connection. A `file` goes with the creation: it is the first, or all, of the bytes. */
export async function createAll(url, uploads) {
  const answers = await curlAll(
    uploads.map(({ length, headers, file }) => ({
      method: 'POST',
      url,
      headers: { ...VERSION, 'Upload-Length': String(length), ...(file && BYTES), ...headers },
      ...(file ? { file } : { text: '' }),
    })),
  )
  return answers.map((answer) => location(answer))
}

/** Sends a whole file in one PATCH. Resolves with the seconds it took. */
export async function patch(upload, file, length, headers = {}) {
  const answer = await curl({
    method: 'PATCH',
    url: upload,
    headers: { ...VERSION, ...BYTES, 'Upload-Offset': '0', ...headers },
    file,
  })
  expectStatus(answer, 204)
  if (answer.headers.get('Upload-Offset') !== String(length)) {
    throw new Error(`of ${length} bytes ${answer.headers.get('Upload-Offset')} were taken`)
  }
  return answer.seconds
}

/** Makes finals of the parts, one for each of the names, over one connection. Resolves with { url, seconds } of each. */
export async function concatenate(url, parts, names) {
  const answers = await curlAll(
    names.map((name) => ({
      method: 'POST',
      url,
      headers: {
        ...VERSION,
        'Upload-Concat': `final;${parts.join(' ')}`,
        'Upload-Metadata': `filename ${Buffer.from(name).toString('base64')}`,
      },
      text: '',
    })),
  )
  return answers.map((answer) => ({ url: location(answer), seconds: answer.seconds }))
}

/** What HEAD says: { length, offset }, as numbers. */
export async function head(upload) {
  const answer = expectStatus(await curl({ method: 'HEAD', url: upload, headers: VERSION }), 200, 204)
  const number = (name) => Number(answer.headers.get(name))
  return { length: number('Upload-Length'), offset: number('Upload-Offset') }
}

function location(answer) {
  expectStatus(answer, 201)
  return new URL(answer.headers.get('Location'), answer.request.url).href
}
