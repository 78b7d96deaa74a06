import { FILE_ALGORITHMS } from '../upload/digest.js'
import { MOST_FIELD_BYTES } from './body/collect.js'
import { MOST_LISTED } from './list.js'
import type { Method } from './methods.js'
import { COLLECTION, UPLOAD } from './route.js'

export interface OpenApiOptions {
  readonly mounts: readonly string[]
  /** The algorithm where a client names none. */
  readonly checksumType: string
  readonly version: string
}

/** The facade as an OpenAPI 3.1 document. Every address and method of it stands here, and no other. */
export function openApi({ mounts, checksumType, version }: OpenApiOptions): object {
  return {
    openapi: '3.1.1',
    info: {
      title: 'Tributary: uploads in chunks',
      version,
      description:
        'The REST interface of the Django app frago 0.1.4. A file is started, its chunks are sent in any order and in ' +
        'parallel, and it is finished with a digest of the whole. 423, 503 and 507 are worth trying again after a while, and ' +
        '408 says that nothing came for too long. Finished files are downloaded and deleted at the address tus clients use.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: mounts.map((url) => ({ url })),
    // Whether one is needed is up to the server.
    security: [{}, { token: [] }, { bearer: [] }],
    paths: { [COLLECTION]: collection(), [UPLOAD]: upload(checksumType) },
    components: { schemas: SCHEMAS, responses: RESPONSES, securitySchemes: SECURITY },
  }
}

type Operations = Readonly<Record<Lowercase<Exclude<Method, never>>, object>>

function collection(): Operations {
  return {
    get: {
      operationId: 'listUploads',
      summary: 'The uploads of the caller',
      description: `Completed ones first, newest first, then the others in the order they were started; of each at most ${MOST_LISTED}.`,
      responses: {
        200: answer('The uploads.', { type: 'array', items: ref('Upload') }),
        403: answer('Nobody is named by the request.', {
          anyOf: [ref('Refusal'), ref('Detail')],
        }),
        ...ALWAYS,
      },
    },
    head: { operationId: 'headUploads', summary: 'As GET, without the body', responses: HEAD },
    post: {
      operationId: 'startUpload',
      summary: 'Start an upload',
      requestBody: fields({
        type: 'object',
        required: ['filename', 'total_size'],
        properties: {
          filename: { type: 'string', minLength: 1, maxLength: 255, description: 'One plain name, no path.' },
          total_size: {
            description: 'Bytes. The text "0" starts an empty file; the number 0 counts as missing.',
            anyOf: [
              { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
              { type: 'string', pattern: '^[0-9]+$' },
            ],
          },
        },
      }),
      responses: {
        201: answer('Started.', ref('Started')),
        400: either('Fields that are missing or no good.'),
        413: either('The file would be larger than allowed, or the fields are.'),
        415: response('UnsupportedMediaType'),
        ...ALWAYS,
      },
    },
    put: {
      operationId: 'putNothing',
      summary: 'There is nothing to store a chunk in',
      responses: { 404: response('NotFound'), ...ALWAYS },
    },
    options: PREFLIGHT,
  }
}

function upload(checksumType: string): Operations & { parameters: readonly object[] } {
  return {
    parameters: [
      {
        name: 'upload_id',
        in: 'path',
        required: true,
        description: 'Lower case, with hyphens.',
        schema: { type: 'string', format: 'uuid' },
      },
    ],
    get: {
      operationId: 'describeUpload',
      summary: 'The state of an upload and the chunks that have arrived',
      responses: { 200: answer('The upload.', ref('Upload')), 404: response('NotFound'), ...ALWAYS },
    },
    head: { operationId: 'headUpload', summary: 'As GET, without the body', responses: HEAD },
    put: {
      operationId: 'storeChunk',
      summary: 'Store one chunk',
      description:
        'A chunk that begins where another began replaces it, unless it brings the same bytes: then it is a duplicate. ' +
        'Any other overlap is refused.',
      parameters: [
        {
          name: 'Content-Range',
          in: 'header',
          required: true,
          schema: { type: 'string', pattern: '^bytes [0-9]+-[0-9]+/[0-9]+$' },
          example: 'bytes 0-8388607/104857600',
        },
      ],
      requestBody: {
        required: true,
        content: {
          'multipart/form-data': {
            schema: {
              type: 'object',
              required: ['file'],
              properties: { file: { type: 'string', format: 'binary', description: 'With a file name.' } },
            },
          },
        },
      },
      responses: {
        200: answer('The chunk is stored.', ref('Chunk')),
        400: either('A range or a body that is no good.'),
        403: either('Started through another protocol, or not permitted.'),
        404: response('NotFound'),
        409: answer('The range overlaps another chunk, or the upload is complete.', ref('ChunkRefusal')),
        410: answer('Not continued in time.', ref('ChunkRefusal')),
        415: response('UnsupportedMediaType'),
        423: answer('Another request is storing this range.', ref('ChunkRefusal')),
        507: answer('The disk is full.', ref('ChunkRefusal')),
        ...ALWAYS,
      },
    },
    post: {
      operationId: 'finishUpload',
      summary: 'Finish an upload',
      description: 'May be repeated: a finished upload is acknowledged again.',
      requestBody: fields(
        {
          type: 'object',
          properties: {
            checksum: { type: 'string', description: 'Digest of the whole file in hex, in any case.' },
            checksum_algo: { type: 'string', enum: FILE_ALGORITHMS, default: checksumType },
          },
        },
        false,
      ),
      responses: {
        201: answer('The file is complete and in its place.', ref('Started')),
        400: either('Chunks are missing, or the checksum is, or it does not fit.'),
        403: either('Started through another protocol, or not permitted.'),
        404: response('NotFound'),
        410: answer('Not continued in time.', ref('Refusal')),
        413: response('TooLarge'),
        415: response('UnsupportedMediaType'),
        507: answer('The disk is full.', ref('Refusal')),
        ...ALWAYS,
      },
    },
    options: PREFLIGHT,
  }
}

function ref(name: keyof typeof SCHEMAS): object {
  return { $ref: `#/components/schemas/${name}` }
}

function response(name: keyof typeof RESPONSES): object {
  return { $ref: `#/components/responses/${name}` }
}

function answer(description: string, schema: object): object {
  return { description, content: { 'application/json': { schema } } }
}

function either(description: string): object {
  return answer(description, { anyOf: [ref('Refusal'), ref('ChunkRefusal'), ref('Detail')] })
}

/** The three ways to send fields. */
function fields(schema: object, required = true): object {
  const types = ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data']
  return {
    required,
    description: `Up to ${MOST_FIELD_BYTES} bytes.`,
    content: Object.fromEntries(types.map((type) => [type, { schema }])),
  }
}

const NAME = { type: 'string' } as const
const WHEN = { type: 'string', format: 'date-time' } as const
const COUNT = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const

function closed(properties: Readonly<Record<string, object>>, optional: readonly string[] = []): object {
  const required = Object.keys(properties).filter((name) => !optional.includes(name))
  return { type: 'object', required, properties, additionalProperties: false }
}

const SCHEMAS = {
  Upload: closed({
    upload_id: { type: 'string', format: 'uuid' },
    filename: { ...NAME, description: 'The id, for uploads of tus without a name.' },
    total_size: { ...COUNT, type: ['integer', 'null'], description: 'Null while unknown (tus only).' },
    status: { enum: ['in_progress', 'complete', 'expired'] },
    created_at: WHEN,
    completed_at: { ...WHEN, type: ['string', 'null'] },
    chunks: {
      type: 'array',
      description: 'By start; none once the upload is complete or expired.',
      items: closed({ start: COUNT, end: { ...COUNT, description: 'Inclusive.' }, size: COUNT }),
    },
  }),
  Started: closed({
    status: { const: true },
    message: NAME,
    upload_id: { type: 'string', format: 'uuid' },
  }),
  Chunk: closed(
    {
      status: { const: true },
      message: NAME,
      start: COUNT,
      end: COUNT,
      size: COUNT,
      duplicate: { const: true },
    },
    ['duplicate'],
  ),
  Refusal: closed({ status: { const: false }, message: NAME }),
  ChunkRefusal: closed({ status: { const: false }, error: NAME }),
  Detail: closed({ detail: NAME }),
}

const RESPONSES = {
  NotFound: answer('Unknown, or somebody else’s.', { $ref: '#/components/schemas/Detail' }),
  Unauthenticated: {
    ...answer('Credentials are missing or wrong.', { $ref: '#/components/schemas/Detail' }),
    headers: { 'WWW-Authenticate': { schema: { type: 'string' } } },
  },
  UnsupportedMediaType: answer('Not one of the media types that are read.', {
    $ref: '#/components/schemas/Detail',
  }),
  TooLarge: answer('The fields are too large.', { $ref: '#/components/schemas/Detail' }),
  Unavailable: {
    description: 'The server stops, or its database is away; the same request works again soon.',
    headers: { 'Retry-After': { schema: { type: 'string' } } },
    content: {
      'application/json': {
        schema: {
          anyOf: ['Refusal', 'ChunkRefusal', 'Detail'].map((name) => ({
            $ref: `#/components/schemas/${name}`,
          })),
        },
      },
    },
  },
}

const SECURITY = {
  token: {
    type: 'apiKey',
    in: 'header',
    name: 'Authorization',
    description: '`Token <key>`, as Django REST framework has it.',
  },
  bearer: { type: 'http', scheme: 'bearer' },
}

const ALWAYS = { 401: response('Unauthenticated'), 503: response('Unavailable') }

const HEAD = { default: { description: 'The status and headers GET would have.' } }

const PREFLIGHT = {
  summary: 'What the address takes',
  description: 'Preflights of browsers need no credentials.',
  responses: { 200: { description: 'Methods and media types.', content: { 'application/json': {} } } },
}
