import { randomUUID } from 'node:crypto'
import { RequestError } from '../http/errors.js'
import type { Reply } from '../http/reply.js'
import { create } from '../upload/create.js'
import { filenameProblem } from '../upload/filename.js'
import { type Fields, readFields } from './body/fields.js'
import { isNothing } from './body/nothing.js'
import type { Exchange } from './exchange.js'
import { json } from './json-reply.js'
import type { Site } from './site.js'

/** POST of the collection: a new upload, of a name and a size (NOTES section 4). */
export async function start(site: Site, exchange: Exchange, owner: string | null): Promise<Reply> {
  const fields = await readFields(exchange)
  requireBoth(fields)
  const filename = filenameOf(fields)
  const length = lengthOf(fields)
  const upload = await create(site.engine, {
    id: randomUUID(),
    owner,
    kind: 'whole',
    protocol: 'frago',
    length,
    metadata: null,
    filename,
  })
  return json(201, { status: true, message: `Upload started for ${filename}`, upload_id: upload.id })
}

function requireBoth(fields: Fields): void {
  if (!isNothing(fields.get('filename')) && !isNothing(fields.get('total_size'))) return
  throw new RequestError('invalid_request', 'filename and total_size required')
}

function filenameOf(fields: Fields): string {
  const filename = fields.get('filename')
  if (typeof filename !== 'string') throw new RequestError('invalid_request', 'filename must be a text')
  const problem = filenameProblem(filename)
  if (problem !== null) throw new RequestError('invalid_request', problem)
  return filename
}

/** An integer, or its decimal digits; never rounded: what a number cannot hold exactly is refused. */
function lengthOf(fields: Fields): number {
  const size = fields.get('total_size')
  const digits = typeof size === 'string' && /^[0-9]+$/.test(size)
  const length = digits ? Number(size) : size
  if (typeof length === 'number' && Number.isSafeInteger(length) && length >= 0) return length
  throw new RequestError(
    'invalid_request',
    `total_size must be an integer from 0 to ${Number.MAX_SAFE_INTEGER}, or its decimal digits`,
  )
}
