import { createHash, randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { describe, expect, inject, onTestFinished, test, vi } from 'vitest'
import type { ByteStore, Upload } from '../../src/index.js'
import { DiskByteStore, openTributary, type TributaryOptions } from '../../src/index.js'
import { silent } from '../../src/upload/log.js'
import { connect } from '../../stores/postgres/database.js'
import { type Opened, openHere, scratch } from '../support/open-tributary.js'

/** One server with code in the place of settings, as the table in the README shows it. */
async function open(
  options: TributaryOptions & { readonly directory?: string },
): Promise<Opened & { readonly url: string }> {
  const opened = await openHere(options)
  return { ...opened, url: `${await opened.tributary.listen()}/upload/` }
}

type Headers = Readonly<Record<string, string>>

async function start(url: string, headers: Headers = {}, filename = 'clip.mp4'): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify({ filename, total_size: 5 }),
  })
}

async function startedId(url: string, headers: Headers = {}, filename?: string): Promise<string> {
  const answer = await start(url, headers, filename)
  expect(answer.status).toBe(201)
  return ((await answer.json()) as { upload_id: string }).upload_id
}

async function uploadWhole(url: string, headers: Headers = {}, filename?: string): Promise<string> {
  const id = await startedId(url, headers, filename)
  const body = new FormData()
  body.set('file', new Blob(['hello']), 'blob')
  const put = await fetch(`${url}${id}/`, {
    method: 'PUT',
    headers: { 'Content-Range': 'bytes 0-4/5', ...headers },
    body,
  })
  expect(put.status).toBe(200)
  const done = await fetch(`${url}${id}/`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify({ checksum: createHash('md5').update('hello').digest('hex') }),
  })
  expect(done.status).toBe(201)
  return id
}

describe('what frago lets a project override', () => {
  test('authentication_classes with JWTs are a setting', async () => {
    const secret = 'a secret of more than thirty-two bytes'
    const { url } = await open({ settings: { JWT_SECRET: secret } })
    const jwt = await new SignJWT({})
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject('alice')
      .setExpirationTime('1h')
      .sign(new TextEncoder().encode(secret))
    expect((await start(url)).status).toBe(401)
    const headers = { Authorization: `Bearer ${jwt}` }
    const id = await startedId(url, headers)
    const listed = (await (await fetch(url, { headers })).json()) as { upload_id: string }[]
    expect(listed.map((each) => each.upload_id)).toEqual([id])
  })

  test('an authentication of one’s own is Koa middleware', async () => {
    const { url } = await open({
      middleware: [
        async (ctx, next) => {
          const [user, password] = ctx.get('X-Account').split(':')
          if (password !== 'swordfish') ctx.throw(401, 'Who are you?')
          ctx.state.user = user
          await next()
        },
      ],
      identify: (ctx) => ctx.state.user,
    })
    expect((await start(url)).status).toBe(401)
    const id = await startedId(url, { 'X-Account': 'alice:swordfish' })
    const asked = (user: string) => fetch(`${url}${id}/`, { headers: { 'X-Account': `${user}:swordfish` } })
    expect((await asked('alice')).status).toBe(200)
    expect((await asked('bob')).status).toBe(404)
  })

  test('get_identifier is identify', async () => {
    const devices = new Map([['inv-7', 'device 7']])
    const { url } = await open({
      settings: { CHUNKED_UPLOADER_IDENTIFIER_MODE: 'device' },
      identify: (ctx) => {
        const device = devices.get(ctx.get('X-Device'))
        return device ?? ctx.throw(403, 'Invalid Device ID.')
      },
    })
    const refused = await start(url, { 'X-Device': 'inv-8' })
    expect([refused.status, await refused.json()]).toEqual([403, { detail: 'Invalid Device ID.' }])
    const id = await startedId(url, { 'X-Device': 'inv-7' })
    expect((await fetch(`${url}${id}/`, { headers: { 'X-Device': 'inv-7' } })).status).toBe(200)
  })

  test('a model with a foreign key is a row in the same transaction', async () => {
    const knex = connect(inject('database'), 1)
    const table = `devices_${randomUUID().replaceAll('-', '').slice(0, 12)}`
    await knex.raw(`create table ${table} (device text primary key)`)
    await knex.raw(
      `create table ${table}_uploads (upload_id uuid primary key, device text not null references ${table})`,
    )
    await knex.raw(`insert into ${table} values ('inv-7')`)
    onTestFinished(async () => {
      await knex.raw(`drop table ${table}_uploads, ${table}`)
      await knex.destroy()
    })
    const { url } = await open({
      identify: (ctx) => ctx.get('X-Device'),
      onUploadRow: async (trx, upload) => {
        await trx(`${table}_uploads`).insert({ upload_id: upload.id, device: upload.owner })
      },
    })
    const id = await startedId(url, { 'X-Device': 'inv-7' })
    expect(await knex(`${table}_uploads`).select()).toEqual([{ upload_id: id, device: 'inv-7' }])

    expect((await start(url, { 'X-Device': 'inv-8' })).status).toBe(500)
    expect(await knex(`${table}_uploads`).select()).toHaveLength(1)
    expect(await (await fetch(url, { headers: { 'X-Device': 'inv-8' } })).json()).toEqual([])
  })

  test('assembled_path is a directory for each upload', async () => {
    const { url, directory } = await open({
      identify: (ctx) => ctx.get('X-Device'),
      assembledDirectory: (upload: Upload) => `videos of ${upload.owner}`,
    })
    const id = await uploadWhole(url, { 'X-Device': 'inv-7' }, 'same.bin')
    await uploadWhole(url, { 'X-Device': 'inv-8' }, 'same.bin')
    await uploadWhole(url, { 'X-Device': 'inv-7' }, 'same.bin')
    const files = async (device: string) =>
      (await readdir(join(directory, 'assembled', `videos of ${device}`))).sort()
    expect(await files('inv-8')).toEqual(['same.bin'])
    expect(await files('inv-7')).toEqual(['same.bin', expect.stringMatching(/^same_\d{8}_\d{6}\.bin$/)])
    const deleted = await fetch(url.replace('/upload/', `/files/${id}`), {
      method: 'DELETE',
      headers: { 'Tus-Resumable': '1.0.0', 'X-Device': 'inv-7' },
    })
    expect(deleted.status).toBe(204)
    expect(await files('inv-7')).toEqual(['same.bin'])
  })

  test('storage is a byte store', async () => {
    const directory = await scratch()
    const disk = new DiskByteStore({ directory, durability: 'relaxed' })
    await disk.open()
    let written = 0
    const bytes: ByteStore = {
      write: (...args) => {
        written++
        return disk.write(...args)
      },
      read: (...args) => disk.read(...args),
      remove: (...args) => disk.remove(...args),
      isLost: (...args) => disk.isLost(...args),
      assemble: (...args) => disk.assemble(...args),
      sweepEpoch: (...args) => disk.sweepEpoch(...args),
      check: () => disk.check(),
    }
    const { url } = await open({ bytes })
    const id = await uploadWhole(url)
    expect(written).toBe(1)
    expect(await (await fetch(url.replace('/upload/', `/files/${id}`))).text()).toBe('hello')
  })

  test('signals are events', async () => {
    const { tributary, url, directory } = await open({})
    const told: string[] = []
    tributary.events
      .on('upload_started', ({ upload }) => void told.push(`started ${upload.filename}`))
      .on('chunk_received', ({ upload, start }) => void told.push(`chunk ${start} of ${upload.filename}`))
      .on('upload_completed', async ({ upload }) => {
        const content = await readFile(join(directory, 'assembled', upload.filename ?? ''), 'utf8')
        told.push(`completed ${upload.filename}: ${content}`)
      })
    await uploadWhole(url)
    await expect
      .poll(() => told)
      .toEqual(['started clip.mp4', 'chunk 0 of clip.mp4', 'completed clip.mp4: hello'])
  })

  test('no directory leads elsewhere, whoever wrote the owner’s name', async () => {
    const { url, directory } = await open({
      identify: (ctx) => ctx.get('X-Device'),
      assembledDirectory: (upload) => `videos of ${upload.owner}`,
    })
    const headers = { 'X-Device': '/../../../escaped', 'Content-Type': 'application/json' }
    const id = await startedId(url, headers)
    const body = new FormData()
    body.set('file', new Blob(['hello']), 'blob')
    const range = { 'X-Device': headers['X-Device'], 'Content-Range': 'bytes 0-4/5' }
    expect((await fetch(`${url}${id}/`, { method: 'PUT', headers: range, body })).status).toBe(200)
    const checksum = createHash('md5').update('hello').digest('hex')
    const finish = { method: 'POST', headers, body: JSON.stringify({ checksum }) }
    expect((await fetch(`${url}${id}/`, finish)).status).toBe(500)
    expect(await readdir(join(directory, 'assembled'))).toEqual([])
  })

  test('what is mistyped is refused', async () => {
    await expect(openTributary({ idenitfy: () => null } as TributaryOptions)).rejects.toThrow('idenitfy')
    const settings = { CHUNKED_UPLOADER_CHECKSUM_TYP: 'sha256' }
    await expect(openTributary({ settings })).rejects.toThrow('CHUNKED_UPLOADER_CHECKSUM_TYP')
  })

  test('opens one process, and says so to whoever wants several workers', async () => {
    const warn = vi.fn()
    await open({ settings: { WORKERS: '64' }, log: { ...silent, warn } })
    expect(warn).toHaveBeenCalledWith({}, expect.stringMatching(/^WORKERS: has no effect/))
  })
})
