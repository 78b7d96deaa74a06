import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { create, createPart, patch, send } from '../support/raw-tus.js'
import { TusStage } from '../support/tus-stage.js'

let stage: TusStage
beforeEach(async () => {
  stage = await TusStage.open({
    extend: {
      identify: async ({ headers, method, url }) => {
        if (headers.authorization === 'broken') throw new Error(`no directory for ${method} ${url}`)
        if (headers.authorization === 'refused') throw { status_code: 401, body: 'Who are you?\n' }
        return headers.authorization ?? null
      },
    },
  })
})
afterEach(() => stage.close())

const as = (name: string) => ({ Authorization: name })

describe('an upload with an owner', () => {
  test('does not exist for others, in any verb', async () => {
    const url = await create(stage.endpoint, 3, as('ann'))
    const unknown = await send(`${stage.endpoint}/x`)
    for (const headers of [as('bob'), {}]) {
      for (const method of ['HEAD', 'GET', 'DELETE', 'PATCH']) {
        const answer = await send(url, {
          method,
          headers: { ...headers, 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' },
        })
        expect(answer.status).toBe(404)
        if (method !== 'HEAD') expect(answer.body).toBe(unknown.body)
      }
    }
    const headers = { ...as('ann'), 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' }
    expect((await send(url, { method: 'PATCH', headers, body: 'abc' })).status).toBe(204)
    const got = await send(url, { headers: as('ann') })
    expect([got.status, got.body, got.headers['cache-control']]).toEqual([200, 'abc', 'private, no-cache'])
  })

  test('is no part of the finals of others', async () => {
    const url = await createPart(stage.endpoint, 3)
    await patch(url, 0, Buffer.from('abc'))
    const final = (headers: Readonly<Record<string, string>>) =>
      send(stage.endpoint, { method: 'POST', headers: { 'Upload-Concat': `final;${url}`, ...headers } })
    expect((await final(as('bob'))).status).toBe(404)
    const own = await final({})
    expect(own.status).toBe(201)
    expect((await final({})).headers.location).toBe(own.headers.location)
  })
})

describe('identify', () => {
  test('may refuse a request, and failing costs only that request', async () => {
    const refused = await send(stage.endpoint, {
      method: 'POST',
      headers: { ...as('refused'), 'Upload-Length': '1' },
    })
    expect([refused.status, refused.body]).toEqual([401, 'Who are you?\n'])
    const broken = await send(`${stage.endpoint}/x`, { headers: as('broken') })
    expect(broken.status).toBe(500)
    expect(broken.body).not.toContain('directory')
  })

  test('is not asked for OPTIONS, which browsers send without credentials', async () => {
    expect((await send(stage.endpoint, { method: 'OPTIONS', headers: as('refused') })).status).toBe(204)
  })
})
