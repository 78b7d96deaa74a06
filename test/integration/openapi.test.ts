import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { METHODS } from '../../src/frago/methods.js'
import { type FragoClient, filePart, type JsonAnswer, md5 } from '../support/frago-client.js'
import { type FragoServer, FragoStage } from '../support/frago-stage.js'

const UNKNOWN = '7d1c0f2e-3b4a-4c5d-8e6f-0a1b2c3d4e5f'

interface Document {
  readonly openapi: string
  readonly servers: readonly { readonly url: string }[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: object
}

interface Operation {
  readonly responses: Readonly<Record<string, { readonly $ref?: string } & object>>
}

let stage: FragoStage
let server: FragoServer
let client: FragoClient
let document: Document

beforeAll(async () => {
  stage = await FragoStage.open()
  server = await stage.serve()
  client = server.client()
  document = JSON.parse((await client.request('GET', new URL('/openapi.json', client.base).href)).body)
})

afterAll(() => stage.close())

test('the document is valid OpenAPI 3.1', async () => {
  expect(document.openapi).toMatch(/^3\.1\./)
  const { valid, errors } = await new Validator().validate({ ...structuredClone(document) })
  expect(errors).toBeUndefined()
  expect(valid).toBe(true)
})

test('it says where the facade is', () => {
  expect(document.servers.map(({ url }) => url)).toEqual(['/api/upload', '/upload'])
  expect(client.base.endsWith(`${document.servers[1]?.url ?? ''}/`)).toBe(true)
})

describe('every address and method stands in it, and no other', () => {
  test.each(['/', '/{upload_id}/'])('%s', async (path) => {
    const { parameters, ...operations } = document.paths[path] ?? {}
    expect(
      Object.keys(operations)
        .map((method) => method.toUpperCase())
        .sort(),
    ).toEqual([...METHODS].sort())
    const url = client.base + path.slice(1).replace('{upload_id}', UNKNOWN)
    for (const method of [...METHODS, 'PATCH', 'DELETE', 'TRACE']) {
      const { status } = await client.request(method, url)
      expect([method, status === 405]).toEqual([method, !(METHODS as readonly string[]).includes(method)])
    }
  })

  test('none besides', () => {
    expect(Object.keys(document.paths)).toEqual(['/', '/{upload_id}/'])
  })
})

test('answers have the statuses and the shapes it says', async () => {
  const id = await fits('post', '/', client.json('POST', client.base, { filename: 'a.bin', total_size: 10 }))
  await fits('post', '/', client.json('POST', client.base, {}))
  await fits('post', '/', client.request('POST', client.base, 'x', { 'Content-Type': 'text/plain' }))
  await fits('get', '/', client.list())
  await fits('put', '/', client.request('PUT', client.base))
  await fits('options', '/', client.request('OPTIONS', client.base))
  const upload = id.json.upload_id as string
  const one = '/{upload_id}/'
  await fits('put', one, client.put(upload, 0, 'hello', 10))
  await fits('put', one, client.put(upload, 0, 'hello', 10))
  await fits('put', one, client.put(upload, 3, 'hello', 10))
  await fits('put', one, client.put(UNKNOWN, 0, 'hello', 10))
  await fits('put', one, client.putParts(upload, 'bytes 0-4', [filePart('hello')]))
  await fits('get', one, client.detail(upload))
  await fits('get', one, client.detail(UNKNOWN))
  await fits('post', one, client.finalize(upload, 'x'))
  await fits('put', one, client.put(upload, 5, 'world', 10))
  await fits('post', one, client.finalize(upload, 'x'))
  await fits('post', one, client.finalize(upload, md5(Buffer.from('helloworld'))))
  await fits('put', one, client.put(upload, 5, 'world', 10))
  await fits('get', one, client.detail(upload))
})

/** Expects an answer to be one of those the document lists for the operation. */
async function fits(method: string, path: string, asked: Promise<JsonAnswer>): Promise<JsonAnswer> {
  const answer = await asked
  const listed = document.paths[path]?.[method]?.responses[answer.status]
  expect(listed, `${method} ${path}: ${answer.status} ${answer.body}`).toBeDefined()
  const ajv = new Ajv2020({ strict: false })
  addFormats.default(ajv)
  const pointer = listed?.$ref ?? `#/paths/${path.replaceAll('/', '~1')}/${method}/responses/${answer.status}`
  ajv.addSchema({ $id: 'https://test/', ...document } as object)
  const schema = `https://test/${encodeURI(pointer)}/content/application~1json/schema`
  const hasSchema = JSON.stringify(listed).includes('schema') || listed?.$ref !== undefined
  if (!hasSchema) return answer
  const valid = ajv.validate({ $ref: schema }, answer.json)
  expect(ajv.errors, `${method} ${path}: ${answer.status} ${answer.body}`).toBeNull()
  expect(valid).toBe(true)
  return answer
}
