import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import { FileStore } from '@tus/file-store'
import { EVENTS, Server, type ServerOptions } from '@tus/server'
import { Upload as StockUpload } from '@tus/utils'
import { describe, expect, test } from 'vitest'
import { extendServer } from '../../src/tus/extend-server.js'
import type { Upload } from '../../src/upload/upload.js'
import type { OpenParallelStore } from '../../stores/parallel/open.js'
import { listen, openStore, serveStock, somewhere } from '../support/embedded-store.js'
import { type KeptAnswer, send } from '../support/kept-connections.js'

const BODY = { 'Content-Type': 'application/offset+octet-stream' }
const NO_UPLOAD = { status_code: 404, code: 'upload_not_found' }

interface Site {
  readonly store: OpenParallelStore
  readonly server: Server
  readonly endpoint: string
}

type Hooks = (store: OpenParallelStore) => Partial<ServerOptions>

/** An extended server whose requests say in a header who they speak for. */
async function serve(hooks: Hooks = () => ({}), store?: OpenParallelStore): Promise<Site> {
  const datastore = store ?? (await openStore(await somewhere()))
  const server = new Server({ path: '/files', datastore, ...hooks(datastore) })
  const { handle } = extendServer(server, {
    identify: ({ headers }) => headers['x-user']?.toString() ?? null,
  })
  const origin = await listen((request, response) => void handle(request, response))
  return { store: datastore, server, endpoint: `${origin}/files` }
}

/** Requests of one user; null is nobody. */
class User {
  readonly #endpoint: string
  readonly #headers: Readonly<Record<string, string>>

  constructor({ endpoint }: Pick<Site, 'endpoint'>, name: string | null) {
    this.#endpoint = endpoint
    this.#headers = name === null ? {} : { 'X-User': name }
  }

  send(id: string, method: string, headers: Readonly<Record<string, string>> = {}, body?: string) {
    const url = id === '' ? this.#endpoint : `${this.#endpoint}/${id}`
    return send(url, {
      method,
      headers: { ...this.#headers, ...headers },
      ...(body !== undefined && { body }),
    })
  }

  async create(length: number, headers: Readonly<Record<string, string>> = {}): Promise<string> {
    return idOf(await this.send('', 'POST', { 'Upload-Length': String(length), ...headers }))
  }

  async patch(id: string, text: string): Promise<void> {
    expect((await this.send(id, 'PATCH', { ...BODY, 'Upload-Offset': '0' }, text)).status).toBe(204)
  }

  /** A file sent with its creation. */
  async upload(text: string): Promise<string> {
    return idOf(await this.send('', 'POST', { ...BODY, 'Upload-Length': String(text.length) }, text))
  }

  async part(text: string): Promise<string> {
    const id = await this.create(text.length, { 'Upload-Concat': 'partial' })
    await this.patch(id, text)
    return id
  }

  async final(...parts: readonly string[]): Promise<string> {
    const urls = parts.map((part) => `${this.#endpoint}/${part}`)
    return idOf(await this.send('', 'POST', { 'Upload-Concat': `final;${urls.join(' ')}` }))
  }
}

function idOf({ status, headers, body }: KeptAnswer): string {
  if (status !== 201) throw new Error(`not created: ${status} ${body}`)
  return headers.location?.split('/').at(-1) ?? ''
}

async function textOf(stream: Readable | Promise<Readable>): Promise<string> {
  return Buffer.concat(await (await stream).toArray()).toString()
}

/** What code of the server gets when it asks by id alone: the text, or the code of the refusal. */
async function asked(store: OpenParallelStore, id: string): Promise<string> {
  return textOf(store.read(id)).catch((error: { code?: string }) => error.code ?? String(error))
}

const WAYS: readonly { readonly way: string; readonly finish: (user: User) => Promise<string> }[] = [
  { way: 'sent with its creation', finish: (user) => user.upload('hello') },
  {
    way: 'finished by a PATCH',
    finish: async (user) => {
      const id = await user.create(5)
      await user.patch(id, 'hello')
      return id
    },
  },
  {
    way: 'made of finished parts',
    finish: async (user) => user.final(await user.part('hel'), await user.part('lo')),
  },
  {
    way: 'made of parts, the last of which is finished later',
    finish: async (user) => {
      const late = await user.create(2, { 'Upload-Concat': 'partial' })
      const final = await user.final(await user.part('hel'), late)
      await user.patch(late, 'lo')
      return final
    },
  },
]

describe.for(WAYS)('a file $way', ({ finish }) => {
  test.for([{ name: 'alice' }, { name: null }])(
    'is read in hooks and listeners by id, for $name',
    async ({ name }) => {
      const seen: unknown[] = []
      const site = await serve((store) => ({
        onUploadFinish: async (_, { id }) => {
          seen.push(['hook', id, await asked(store, id), (await store.getUpload(id)).offset])
          return {}
        },
      }))
      const listened = new Promise((resolve) => {
        site.server.on(EVENTS.POST_FINISH, (_request, _response, { id }) => resolve(asked(site.store, id)))
      })
      const id = await finish(new User(site, name))
      expect(await listened).toBe('hello')
      expect(seen).toEqual([['hook', id, 'hello', 5]])
    },
  )

  test('is read by who hears of it from the store, by the upload told', async () => {
    const site = await serve()
    const told = new Promise<Upload>((resolve) => {
      site.store.events.on('upload_completed', ({ upload }) => {
        if (upload.kind !== 'partial') resolve(upload)
      })
    })
    const id = await finish(new User(site, 'alice'))
    const upload = await told
    expect([upload.id, upload.owner]).toEqual([id, 'alice'])
    expect(await textOf(site.store.contentOf(upload))).toBe('hello')
    expect(await asked(site.store, id)).toBe('upload_not_found')
  })
})

describe('code of the server, for an upload of any owner', () => {
  test('asks for facts, also of one that is not finished', async () => {
    const { store, ...site } = await serve()
    const id = await new User(site, 'alice').create(5)
    expect(await store.find(id, 'alice')).toMatchObject({
      id,
      owner: 'alice',
      status: 'in_progress',
      length: 5,
    })
    expect(await store.find(id, 'bob')).toBeNull()
    expect(await store.find(id, null)).toBeNull()
    expect(await store.find('../x', 'alice')).toBeNull()
  })

  test('reads ranges, of which what lies beyond the end is empty', async () => {
    const { store, ...site } = await serve()
    const upload = { id: await new User(site, 'alice').upload('hello'), owner: 'alice' }
    expect(await textOf(store.contentOf(upload, { start: 1, stop: 3 }))).toBe('el')
    expect(await textOf(store.contentOf(upload, { start: 3, stop: 100 }))).toBe('lo')
    expect(await textOf(store.contentOf(upload, { start: 9, stop: 10 }))).toBe('')
    await expect(store.contentOf(upload, { start: -1, stop: 3 })).rejects.toThrow(RangeError)
    await expect(store.contentOf(upload, { start: 3, stop: 1 })).rejects.toThrow(RangeError)
  })

  test('reads an empty one', async () => {
    const { store, ...site } = await serve()
    const id = await new User(site, 'alice').create(0)
    expect(await textOf(store.contentOf({ id, owner: 'alice' }))).toBe('')
  })

  test('cannot read one that is not finished, is gone, or is of another owner than it says', async () => {
    const { store, ...site } = await serve()
    const alice = new User(site, 'alice')
    const [begun, finished] = [await alice.create(5), await alice.upload('hello')]
    for (const upload of [
      { id: begun, owner: 'alice' },
      { id: finished, owner: 'bob' },
      { id: finished, owner: null },
      { id: randomUUID(), owner: 'alice' },
      { id: '../x', owner: 'alice' },
    ]) {
      await expect(store.contentOf(upload)).rejects.toMatchObject(NO_UPLOAD)
    }
  })

  test('removes', async () => {
    const { store, ...site } = await serve()
    const alice = new User(site, 'alice')
    const id = await alice.upload('hello')
    await expect(store.terminate({ id, owner: 'bob' })).rejects.toMatchObject(NO_UPLOAD)
    await store.terminate({ id, owner: 'alice' })
    expect((await alice.send(id, 'GET')).status).toBe(404)
    await expect(store.terminate({ id, owner: 'alice' })).rejects.toMatchObject(NO_UPLOAD)
  })
})

test('a file is moved elsewhere when the store tells of it, as the README does', async () => {
  const { directory } = await somewhere()
  const { store, ...site } = await serve()
  const moved = new Promise<string>((resolve, reject) => {
    store.events.on('upload_completed', async ({ upload }) => {
      if (upload.kind === 'partial') return
      const path = join(directory, upload.id)
      await pipeline(await store.contentOf(upload), createWriteStream(path)).catch(reject)
      await store.terminate(upload)
      resolve(path)
    })
  })
  const alice = new User(site, 'alice')
  const id = await alice.final(await alice.part('hel'), await alice.part('lo'))
  expect(await readFile(await moved, 'utf8')).toBe('hello')
  expect((await alice.send(id, 'GET')).status).toBe(404)
})

describe('a hook', () => {
  test('removes what it has moved away', async () => {
    const moved: string[] = []
    const site = await serve((store) => ({
      onUploadFinish: async (_, { id }) => {
        moved.push(await textOf(store.read(id)))
        await store.remove(id)
        return {}
      },
    }))
    const alice = new User(site, 'alice')
    const id = await alice.upload('hello')
    expect(moved).toEqual(['hello'])
    expect((await alice.send(id, 'GET')).status).toBe(404)
    expect(await site.store.find(id, 'alice')).toBeNull()
  })

  test('makes uploads of the same owner', async () => {
    const copies: string[] = []
    const { store, ...site } = await serve((store) => ({
      onUploadFinish: async () => {
        const copy = await store.create(new StockUpload({ id: randomUUID(), offset: 0, size: 3 }))
        await store.write(Readable.from([Buffer.from('abc')]), copy.id, 0)
        copies.push(copy.id)
        return {}
      },
    }))
    await new User(site, 'alice').upload('hello')
    const [copy = ''] = copies
    expect((await new User(site, 'alice').send(copy, 'GET')).body).toBe('abc')
    for (const name of ['bob', null]) expect((await new User(site, name).send(copy, 'GET')).status).toBe(404)
  })

  test('acts for the owner as deep and as late as its work goes', async () => {
    const late: Promise<string>[] = []
    const site = await serve((store) => ({
      onUploadFinish: async (_, { id }) => {
        await turn()
        const pieces = Readable.from(['x']).map(async () => {
          await wait(5)
          return asked(store, id)
        })
        expect(await pieces.toArray()).toEqual(['hello'])
        // Not waited for: the answer goes out before.
        late.push(wait(100).then(() => asked(store, id)))
        late.push(
          new Promise((resolve) => setTimeout(() => queueMicrotask(() => resolve(asked(store, id))), 50)),
        )
        return {}
      },
    }))
    await new User(site, 'alice').upload('hello')
    expect(await Promise.all(late)).toEqual(['hello', 'hello'])
  })

  test('acts for its own owner while those of others run', async () => {
    const seen: unknown[] = []
    let arrived = 0
    let release: () => void = () => undefined
    const together = new Promise<void>((resolve) => {
      release = resolve
    })
    const ids = new Map<string, string>()
    const site = await serve((store) => ({
      onUploadFinish: async (request, { id }) => {
        const name = request.headers.get('x-user') ?? 'nobody'
        ids.set(name, id)
        if (++arrived === 3) release()
        await together
        for (const [owner, each] of ids) seen.push([name, owner, await asked(store, each)])
        return {}
      },
    }))
    const names = ['alice', 'bob', null]
    await Promise.all(names.map((name) => new User(site, name).upload(`by ${name ?? 'nobody'}`)))
    expect(seen).toHaveLength(9)
    for (const [name, owner, text] of seen as string[][]) {
      expect([name, owner, text]).toEqual([name, owner, name === owner ? `by ${name}` : 'upload_not_found'])
    }
  })

  test('that reads fails nobody when the upload is gone already', async () => {
    const site = await serve((store) => ({
      onUploadFinish: async (_, { id }) => {
        await store.remove(id)
        expect(await asked(store, id)).toBe('upload_not_found')
        return { status_code: 201 }
      },
    }))
    await new User(site, 'alice').upload('hello')
  })
})

test('a hook that guards requests knows uploads of whom they speak for, and no others', async () => {
  const seen: unknown[] = []
  const site = await serve((store) => ({
    onIncomingRequest: async ({ method }, id) => {
      if (method === 'POST') return
      const found = await store.getUpload(id).catch(() => null)
      seen.push([method, found?.size])
    },
  }))
  const id = await new User(site, 'alice').upload('hello')
  for (const name of ['alice', 'bob', null]) await new User(site, name).send(id, 'HEAD')
  expect(seen).toEqual([
    ['HEAD', 5],
    ['HEAD', undefined],
    ['HEAD', undefined],
  ])
})

test('a hook for a new upload reads others of its owner', async () => {
  let first = ''
  const seen: string[] = []
  const site = await serve((store) => ({
    onUploadCreate: async () => {
      if (first !== '') seen.push(await asked(store, first))
      return {}
    },
  }))
  first = await new User(site, 'alice').upload('hello')
  await new User(site, 'alice').create(1)
  await new User(site, 'bob').create(1)
  expect(seen).toEqual(['hello', 'upload_not_found'])
})

test('a listener for a new upload reads of its owner', async () => {
  const site = await serve()
  const heard = new Promise((resolve) => {
    site.server.on(EVENTS.POST_CREATE, (_request, { id }) => resolve(site.store.getUpload(id)))
  })
  const id = await new User(site, 'alice').create(5)
  expect(await heard).toMatchObject({ id, size: 5 })
})

describe('an upload of alice', () => {
  test('is not there for others, nor for what runs on their behalf', async () => {
    let target = ''
    const seen: unknown[] = []
    const look = async (store: OpenParallelStore, where: string) => {
      if (target === '') return
      seen.push([where, await asked(store, target)])
      await expect(store.getUpload(target)).rejects.toMatchObject(NO_UPLOAD)
      await expect(store.remove(target)).rejects.toMatchObject(NO_UPLOAD)
    }
    const site = await serve((store) => ({
      onIncomingRequest: () => look(store, 'onIncomingRequest'),
      onUploadCreate: async () => {
        await look(store, 'onUploadCreate')
        return {}
      },
      onUploadFinish: async () => {
        await look(store, 'onUploadFinish')
        return {}
      },
    }))
    const alice = new User(site, 'alice')
    target = await alice.upload('hello')
    seen.length = 0
    for (const name of ['bob', null]) {
      const other = new User(site, name)
      for (const method of ['HEAD', 'GET', 'DELETE']) {
        expect((await other.send(target, method)).status).toBe(404)
      }
      await other.upload('mine')
    }
    const refused = ['HEAD', 'GET', 'DELETE', 'POST'].map(() => ['onIncomingRequest', 'upload_not_found'])
    const once = [...refused, ['onUploadCreate', 'upload_not_found'], ['onUploadFinish', 'upload_not_found']]
    expect(seen).toEqual([...once, ...once])
    expect(await textOf(site.store.contentOf({ id: target, owner: 'alice' }))).toBe('hello')
  })

  test('is not there for stock handlers on the same store, even when her own hook asks them', async () => {
    const store = await openStore(await somewhere())
    const stock = await serveStock(store)
    const seen: unknown[] = []
    const site = await serve(
      () => ({
        onUploadFinish: async (_, { id }) => {
          for (const method of ['HEAD', 'GET', 'DELETE']) {
            seen.push((await send(`${stock.endpoint}/${id}`, { method })).status)
          }
          return {}
        },
      }),
      store,
    )
    const id = await new User(site, 'alice').upload('hello')
    expect(seen).toEqual([404, 404, 404])
    expect((await send(`${stock.endpoint}/${id}`)).status).toBe(404)
    expect((await new User(site, 'alice').send(id, 'GET')).body).toBe('hello')
  })

  test.for([{ other: 'bob' }, { other: null }])(
    'is not there for a request of $other that her own hook makes, nor for its hook',
    async ({ other }) => {
      let first = ''
      const seen: unknown[] = []
      const as = { 'Tus-Resumable': '1.0.0', ...(other !== null && { 'X-User': other }) }
      const site = await serve((store) => ({
        onUploadFinish: async (request, { id }) => {
          if (request.headers.get('x-user') !== 'alice') {
            seen.push(['other', await asked(store, id), await asked(store, first)])
            return {}
          }
          first = id
          const got = await site.server.handleWeb(new Request(`http://a/files/${id}`, { headers: as }))
          const headers = { ...BODY, ...as, 'Upload-Length': '3', 'Content-Length': '3' }
          const made = await site.server.handleWeb(
            new Request('http://a/files', { method: 'POST', headers, body: 'abc' }),
          )
          seen.push(['alice', got.status, made.status, await asked(store, id)])
          return {}
        },
      }))
      await new User(site, 'alice').upload('hello')
      expect(seen).toEqual([
        ['other', 'abc', 'upload_not_found'],
        ['alice', 404, 201, 'hello'],
      ])
    },
  )
})

describe('with a store from before', () => {
  test('hooks read uploads of it by id, whoever asks', async () => {
    const { directory, ...place } = await somewhere()
    const files = new FileStore({ directory })
    const old = await files.create(new StockUpload({ id: 'f'.repeat(32), offset: 0, size: 6 }))
    await files.write(Readable.from([Buffer.from('old')]), old.id, 0)
    const seen: string[] = []
    const store = await openStore(
      { directory: (await somewhere()).directory, ...place },
      { inherited: files },
    )
    const site = await serve(
      () => ({
        onUploadFinish: async (_, { id }) => {
          seen.push(await asked(store, id), await asked(store, old.id))
          return {}
        },
      }),
      store,
    )
    const patched = await new User(site, 'alice').send(
      old.id,
      'PATCH',
      { ...BODY, 'Upload-Offset': '3' },
      'new',
    )
    expect(patched.status).toBe(204)
    await new User(site, 'alice').upload('hello')
    expect(seen).toEqual(['oldnew', 'oldnew', 'hello', 'oldnew'])
    expect(await store.find(old.id, null)).toBeNull()
  })
})
