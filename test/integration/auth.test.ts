import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type Koa from 'koa'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type AppOptions, createApp } from '../../src/app.js'
import { openAuthenticator } from '../../src/command/open-authenticator.js'
import { type Environment, parseConfig } from '../../src/config.js'
import { identifierFor } from '../../src/http/identifier.js'
import { UploadServer } from '../../src/http/server.js'
import { type Logger, silent } from '../../src/upload/log.js'
import type { Database } from '../../stores/postgres/database.js'
import { diskStore, engineOf } from '../support/engine-on-disk.js'
import { KeySetServer, signWithSecret } from '../support/key-set-server.js'
import { MemoryDatabase } from '../support/memory-registry.js'
import { testSchema } from '../support/postgres.js'
import { type Answer, create, send } from '../support/raw-tus.js'

const NOWHERE = 'the database of this test' as unknown as Database

/** The app on a port of its own, over a registry in memory and files in a directory of its own. */
async function serve(options: Partial<AppOptions>, log: Logger = silent) {
  const directory = await scratch()
  const engine = engineOf(new MemoryDatabase().node(), diskStore(directory), { log })
  const app = createApp({ engine }, { tusPath: '/files', idleTimeout: 10_000, ...options })
  const server = new UploadServer(app, log)
  const { port } = await server.open('127.0.0.1', 0)
  onTestFinished(async () => {
    const drained = server.drain()
    server.closeAllConnections()
    await drained
  })
  const origin = `http://127.0.0.1:${port}`
  return { origin, endpoint: `${origin}/files` }
}

/** The app as the command would set it up with these settings. */
async function serveWith(env: Environment, database = NOWHERE) {
  const config = parseConfig(env, ['serve'])
  const authenticator = await openAuthenticator(config, { database, log: silent })
  return serve({ identify: identifierFor(config.identifierMode, authenticator) })
}

async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'tributary-auth-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

async function tokenFile(text: string): Promise<string> {
  const path = join(await scratch(), 'tokens')
  await writeFile(path, text)
  return path
}

const authorized = (authorization: string) => ({ Authorization: authorization })
const started = (endpoint: string, headers: Readonly<Record<string, string>>) =>
  send(endpoint, { method: 'POST', headers: { 'Upload-Length': '3', ...headers } })
const patchHeaders = { 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' }
const filled = (url: string, headers: Readonly<Record<string, string>>) =>
  send(url, { method: 'PATCH', headers: { ...headers, ...patchHeaders }, body: 'abc' })

/** Everything somebody may try on an upload whose address is known. */
async function attempts(endpoint: string, url: string, headers: Readonly<Record<string, string>>) {
  const answers: Record<string, Answer> = {}
  for (const method of ['HEAD', 'GET', 'DELETE']) answers[method] = await send(url, { method, headers })
  answers.PATCH = await send(url, { method: 'PATCH', headers: { ...headers, ...patchHeaders }, body: 'xyz' })
  const concat = { 'Upload-Concat': `final;${url}` }
  answers.final = await send(endpoint, { method: 'POST', headers: { ...headers, ...concat } })
  return answers
}

const statuses = (answers: Record<string, Answer>) =>
  Object.fromEntries(Object.entries(answers).map(([name, { status }]) => [name, status]))

const EVERYTHING = (status: number) => ({
  HEAD: status,
  GET: status,
  DELETE: status,
  PATCH: status,
  final: status,
})

describe('tokens of a file', () => {
  const tokens = '# fleet\nkey-a ann\nkey-b Bob van Dam\n'

  test('are taken with both schemes, in any case', async () => {
    const { endpoint } = await serveWith({ AUTH_TOKENS: await tokenFile(tokens) })
    for (const header of ['Token key-a', 'bearer key-a', 'BEARER key-b']) {
      expect((await started(endpoint, authorized(header))).status).toBe(201)
    }
  })

  test('are asked for in every verb but OPTIONS, in frago’s words', async () => {
    const { origin, endpoint } = await serveWith({ AUTH_TOKENS: await tokenFile(tokens) })
    const url = await create(endpoint, 3, authorized('Token key-a'))
    expect(statuses(await attempts(endpoint, url, {}))).toEqual(EVERYTHING(401))
    const cases: [Record<string, string>, string][] = [
      [{}, 'Authentication credentials were not provided.\n'],
      [authorized('Basic YTpi'), 'Authentication credentials were not provided.\n'],
      [authorized('Token'), 'Invalid token header. No credentials provided.\n'],
      [authorized('Token key-a key-b'), 'Invalid token header. Token string should not contain spaces.\n'],
      [authorized('Token key-c'), 'Invalid token.\n'],
    ]
    for (const [headers, sentence] of cases) {
      const { status, body, headers: answered } = await started(endpoint, headers)
      expect([status, body]).toEqual([401, sentence])
      expect(answered['www-authenticate']).toBe('Bearer realm="Tributary", Token')
    }
    expect((await send(endpoint, { method: 'OPTIONS' })).status).toBe(204)
    expect((await fetch(`${origin}/healthz`)).status).toBe(200)
    expect((await fetch(`${origin}/readyz`)).status).toBe(200)
  })

  test('make the uploads of others unknown, in every way', async () => {
    const { endpoint } = await serveWith({ AUTH_TOKENS: await tokenFile(tokens) })
    const [ann, bob] = [authorized('Token key-a'), authorized('Bearer key-b')]
    const url = await create(endpoint, 3, { ...ann, 'Upload-Concat': 'partial' })
    const unknown = await attempts(endpoint, `${endpoint}/${crypto.randomUUID()}`, bob)
    const foreign = await attempts(endpoint, url, bob)
    expect(statuses(foreign)).toEqual(EVERYTHING(404))
    const told = ({ body, headers }: Answer) => [body.replaceAll(/[0-9a-f-]{36}/g, ''), Object.keys(headers)]
    for (const [name, answer] of Object.entries(foreign)) {
      expect(told(answer), name).toEqual(told(unknown[name] as Answer))
    }
    expect((await filled(url, ann)).status).toBe(204)
    expect((await send(url, { headers: ann })).body).toBe('abc')
  })

  test('are asked for before a body is sent', async () => {
    const { endpoint } = await serveWith({ AUTH_TOKENS: await tokenFile(tokens) })
    const url = await create(endpoint, 3, authorized('Token key-a'))
    const refused = await send(url, {
      method: 'PATCH',
      headers: { ...patchHeaders, Expect: '100-continue' },
    })
    expect(refused.status).toBe(401)
  })

  test('that are no list stop the start with a sentence', async () => {
    const path = await tokenFile('key-a ann\nkey-b\n')
    const open = (env: Environment) =>
      openAuthenticator(parseConfig(env, ['serve']), { database: NOWHERE, log: silent })
    await expect(open({ AUTH_TOKENS: path })).rejects.toThrow(
      `AUTH_TOKENS: the file ${path} cannot be used: line 2 has no user after the token`,
    )
    await expect(open({ AUTH_TOKENS: '/nowhere/tokens' })).rejects.toThrow(
      /^AUTH_TOKENS: the file \/nowhere\/tokens cannot be used: ENOENT/,
    )
    expect(await open({})).toBeNull()
  })
})

describe('tokens of a table', () => {
  test('are those of the database, and may stand next to JWTs', async () => {
    const schema = testSchema()
    onTestFinished(() => schema.drop())
    const { database } = await schema.open()
    await schema.run('create table $s.api_tokens (token text primary key, owner text not null)')
    await schema.run(`insert into $s.api_tokens values ('key-a', 'ann')`)
    const JWT_SECRET = 'a secret of more than thirty-two bytes'
    const env = { AUTH_TOKENS: `table:${schema.name}.api_tokens`, JWT_SECRET }
    const { endpoint } = await serveWith(env, database)
    const url = await create(endpoint, 3, authorized('Token key-a'))
    const same = authorized(`Bearer ${await signWithSecret(JWT_SECRET, { sub: 'ann' })}`)
    expect((await send(url, { method: 'HEAD', headers: same })).status).toBe(200)
    expect((await send(url, { method: 'HEAD', headers: authorized('Token key-b') })).status).toBe(401)
  })

  test('that is not there stops the start', async () => {
    const schema = testSchema()
    onTestFinished(() => schema.drop())
    const { database } = await schema.open()
    const env = { AUTH_TOKENS: `table:${schema.name}.missing` }
    await expect(serveWith(env, database)).rejects.toThrow(
      /^AUTH_TOKENS: the table t_\w+\.missing cannot be used, it needs the columns token and owner: .*does not exist$/,
    )
  })

  test('that cannot be asked is no reason to take anybody for a stranger', async () => {
    const schema = testSchema()
    onTestFinished(() => schema.drop())
    const { database, close } = await schema.open()
    await schema.run('create table $s.api_tokens (token text primary key, owner text not null)')
    const { endpoint } = await serveWith({ AUTH_TOKENS: `table:${schema.name}.api_tokens` }, database)
    await close()
    const answer = await started(endpoint, authorized('Token key-a'))
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1'])
    expect((await send(`${endpoint}/x`, { method: 'HEAD', headers: authorized('Token key-a') })).status).toBe(
      423,
    )
  })
})

describe('JWTs', () => {
  test('of a key set: sub is the owner', async () => {
    const provider = await KeySetServer.open('ES256')
    onTestFinished(() => provider.close())
    const { endpoint } = await serveWith({ JWT_JWKS_URL: provider.url })
    const as = async (sub: string) => authorized(`Bearer ${await provider.sign('ES256', { sub })}`)
    const url = await create(endpoint, 3, await as('ann'))
    expect((await send(url, { method: 'HEAD', headers: await as('ann') })).status).toBe(200)
    expect(statuses(await attempts(endpoint, url, await as('bob')))).toEqual(EVERYTHING(404))
  })

  test('whose key set is away are answered with 503, and HEAD with 423', async () => {
    const provider = await KeySetServer.open('ES256')
    onTestFinished(() => provider.close())
    provider.trouble = { status: 502, body: 'secret words of a proxy' }
    const { endpoint } = await serveWith({ JWT_JWKS_URL: provider.url })
    const headers = authorized(`Bearer ${await provider.sign('ES256', { sub: 'ann' })}`)
    const answer = await started(endpoint, headers)
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1'])
    expect(answer.headers['www-authenticate']).toBeUndefined()
    expect(answer.body).not.toContain('secret')
    expect((await send(`${endpoint}/x`, { method: 'HEAD', headers })).status).toBe(423)
  })
})

describe('the mode', () => {
  const tokens = 'key-a ann\nkey-b bob\n'
  const MODE = 'CHUNKED_UPLOADER_IDENTIFIER_MODE'

  test('anonymous shares the uploads of all who authenticate', async () => {
    const { endpoint } = await serveWith({ AUTH_TOKENS: await tokenFile(tokens), [MODE]: 'anonymous' })
    const url = await create(endpoint, 3, authorized('Token key-a'))
    expect((await send(url, { method: 'HEAD', headers: authorized('Token key-b') })).status).toBe(200)
    expect((await send(url, { method: 'HEAD' })).status).toBe(401)
  })

  test('device keeps devices apart', async () => {
    const { endpoint } = await serveWith({ AUTH_TOKENS: await tokenFile(tokens), [MODE]: 'device' })
    const url = await create(endpoint, 3, authorized('Token key-a'))
    expect((await send(url, { method: 'HEAD', headers: authorized('Token key-b') })).status).toBe(404)
  })

  test('user without authentication refuses everybody', async () => {
    const { endpoint } = await serveWith({ [MODE]: 'user' })
    const url = `${endpoint}/${crypto.randomUUID()}`
    const refused = await attempts(endpoint, url, authorized('Token key-a'))
    expect(statuses(refused)).toEqual(EVERYTHING(403))
    expect(refused.GET?.body).toBe('You do not have permission to perform this action.\n')
    expect((await send(endpoint, { method: 'OPTIONS' })).status).toBe(204)
  })

  test('anonymous is what there is without settings', async () => {
    const { endpoint } = await serveWith({})
    const url = await create(endpoint, 3)
    expect((await send(url, { method: 'HEAD', headers: authorized('Token whatever') })).status).toBe(200)
  })
})

describe('Koa middleware before the protocols', () => {
  const session: Koa.Middleware = async (ctx, next) => {
    const name = ctx.cookies.get('session')
    if (name === undefined)
      return ctx.throw(401, 'Log in first.', { headers: { 'WWW-Authenticate': 'Cookie' } })
    if (name === 'away') {
      ctx.status = 403
      ctx.body = { reason: 'on leave' }
      return
    }
    ctx.state.user = name
    ctx.set('X-Session', name)
    await next()
  }
  const identify = (ctx: Koa.Context) => ctx.state.user as string
  const as = (name: string) => ({ Cookie: `session=${name}` })

  test('finds out who it is, for identify(ctx)', async () => {
    const { endpoint } = await serve({ middleware: [session], identify })
    const url = await create(endpoint, 3, as('ann'))
    const own = await send(url, { method: 'HEAD', headers: as('ann') })
    expect([own.status, own.headers['x-session']]).toEqual([200, 'ann'])
    expect(statuses(await attempts(endpoint, url, as('bob')))).toEqual(EVERYTHING(404))
    expect((await filled(url, as('ann'))).status).toBe(204)
  })

  test('may answer itself, which ends the request', async () => {
    const { endpoint } = await serve({ middleware: [session], identify })
    const away = await started(endpoint, as('away'))
    expect([away.status, away.body]).toEqual([403, '{"reason":"on leave"}'])
    const thrown = await started(endpoint, {})
    expect([thrown.status, thrown.body]).toEqual([401, 'Log in first.\n'])
    expect(thrown.headers['www-authenticate']).toBe('Cookie')
  })

  test('does not stand before health, and its bugs tell the client nothing', async () => {
    const failures: unknown[] = []
    const log = { ...silent, error: (facts: object) => void failures.push(facts) }
    const broken = () => {
      throw new Error('no directory at 10.0.0.7')
    }
    const { origin, endpoint } = await serve({ middleware: [broken] }, log)
    const answer = await started(endpoint, {})
    expect(answer.status).toBe(500)
    expect(answer.body).not.toContain('10.0.0.7')
    expect(failures).toHaveLength(1)
    expect((await fetch(`${origin}/healthz`)).status).toBe(200)
  })

  test('runs in the order given', async () => {
    const order: number[] = []
    const note =
      (number: number): Koa.Middleware =>
      (_ctx, next) => {
        order.push(number)
        return next()
      }
    const { endpoint } = await serve({ middleware: [note(1), note(2)] })
    await started(endpoint, {})
    expect(order).toEqual([1, 2])
  })
})

describe('identify(ctx)', () => {
  test('may refuse as Koa does, or as hooks of @tus/server do', async () => {
    const { endpoint } = await serve({
      identify: (ctx) => {
        if (ctx.get('X-Way') === 'koa') ctx.throw(402, 'Pay first.', { headers: { 'X-Price': '7' } })
        throw { status_code: 451, body: 'No.\n' }
      },
    })
    const koa = await started(endpoint, { 'X-Way': 'koa' })
    expect([koa.status, koa.body, koa.headers['x-price']]).toEqual([402, 'Pay first.\n', '7'])
    const hook = await started(endpoint, {})
    expect([hook.status, hook.body]).toEqual([451, 'No.\n'])
  })

  test.each(['', 'a\nb', 'x'.repeat(201), 7, undefined])(
    'that gives %j is misconfigured: 500, and the log says so',
    async (owner) => {
      const failures: object[] = []
      const log = { ...silent, error: (facts: object) => void failures.push(facts) }
      const { endpoint } = await serve({ identify: () => owner as string }, log)
      const answer = await started(endpoint, {})
      expect(answer.status).toBe(500)
      expect(answer.body).toMatch(/^Something went wrong on the server/)
      expect(failures).toEqual([expect.objectContaining({ code: 'misconfigured' })])
    },
  )

  test('may give null, which is the anonymous owner', async () => {
    const { endpoint } = await serve({ identify: async () => null })
    expect((await started(endpoint, {})).status).toBe(201)
  })
})
