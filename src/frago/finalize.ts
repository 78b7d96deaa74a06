import { RequestError } from '../http/errors.js'
import type { Reply } from '../http/reply.js'
import {
  type Digest,
  FILE_ALGORITHMS,
  type FileDigestAlgorithm,
  fileAlgorithmNamed,
} from '../upload/digest.js'
import { finish } from '../upload/finish.js'
import { unlessAborted } from '../upload/unless-aborted.js'
import { type Fields, readFields } from './body/fields.js'
import { isNothing } from './body/nothing.js'
import type { Exchange } from './exchange.js'
import { json } from './json-reply.js'
import type { Site } from './site.js'

/** POST of an upload: all chunks are there, the file is whole (NOTES section 6). Checks come in frago's order. */
export async function finalize(
  site: Site,
  exchange: Exchange,
  id: string,
  owner: string | null,
): Promise<Reply> {
  const { required } = site.checksum
  const expected = async () => (required ? expectedDigest(site, await readFields(exchange)) : null)
  const done = finish(site.engine, { id, owner, protocol: 'frago', expected })
  // A server that stops answers; the work goes on as long as the process does, and whoever asks again joins it.
  const finished = await unlessAborted(done, exchange.signal)
  return json(201, {
    status: true,
    message: `Upload completed for ${finished.filename}`,
    upload_id: finished.id,
  })
}

function expectedDigest(site: Site, fields: Fields): Digest {
  const checksum = fields.get('checksum')
  if (isNothing(checksum)) throw new RequestError('invalid_request', 'Checksum required')
  const algorithm = algorithmOf(fields.get('checksum_algo'), site.checksum.type)
  return { algorithm, bytes: typeof checksum === 'string' ? hexBytes(checksum) : NO_DIGEST }
}

/** No content hashes to it: whatever was sent in its place is an answer that does not fit, as it is to frago. */
const NO_DIGEST = Buffer.alloc(0)

function hexBytes(text: string): Buffer {
  return /^(?:[0-9a-f]{2})+$/i.test(text) ? Buffer.from(text, 'hex') : NO_DIGEST
}

function algorithmOf(value: unknown, usual: FileDigestAlgorithm): FileDigestAlgorithm {
  if (isNothing(value)) return usual
  const algorithm = typeof value === 'string' ? fileAlgorithmNamed(value) : null
  if (algorithm !== null) return algorithm
  throw new RequestError('invalid_request', `checksum_algo must be one of ${FILE_ALGORITHMS.join(', ')}`)
}
