import { randomUUID } from 'node:crypto'
import {
  chmod,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Publication } from '../../src/upload/ports.js'
import { fileCalls } from '../../stores/disk/file-calls.js'
import { nameCalls } from '../../stores/disk/name-calls.js'
import { isDisplacedName, partName, privateNames } from '../../stores/disk/published-name.js'
import { blobPath } from '../../stores/disk/safe-path.js'
import { Mortal } from '../support/crash/mortal.js'
import { systemError, WatchedCalls } from '../support/disk-store.js'
import { aroundCalls, type Content, PublisherStage } from '../support/publisher-stage.js'
import { SmallDisk } from '../support/small-disk.js'

const MOMENT = new Date('2026-01-31T08:17:18Z')
const now = () => MOMENT

describe('a finished file in one blob', () => {
  test('appears as a link to it, which nobody can write to', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open()
    const content = await stage.finished('content')
    const ready = await publisher.prepare(content.uploadId, content.extents, content.length)
    expect(ready).toMatchObject({ uploadId: content.uploadId, copy: false })
    expect(await readdir(stage.directory)).toEqual([])
    const placed = await publisher.place(ready, 'a.txt', null)
    expect(placed).toMatchObject({ name: 'a.txt', holderName: null })
    expect(await stage.seen()).toEqual({ 'a.txt': 'content' })
    expect(await stage.mode('a.txt')).toBe(0o444)
    expect((await stat(stage.path('a.txt'))).ino).toBe((await stat(ready.path)).ino)
    expect(await stage.hidden()).toEqual([])
  })

  test('placed again, by the same or another process, is where it was', async () => {
    const stage = await PublisherStage.make()
    const content = await stage.finished('content')
    const publisher = await stage.open()
    const ready = await publisher.prepare(content.uploadId, content.extents, content.length)
    const placed = await publisher.place(ready, 'a.txt', null)
    expect(await publisher.place(ready, 'a.txt', null)).toEqual(placed)
    expect(await stage.publish(await stage.open(), content, 'a.txt')).toEqual(placed)
    expect(await stage.seen()).toEqual({ 'a.txt': 'content' })
  })

  test('keeps its identity when the blob goes, and whatever happens to its name and rights', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open()
    const content = await stage.finished('content')
    await stage.publish(publisher, content, 'a.txt')
    await rm(stage.blobs, { recursive: true })
    await chmod(stage.path('a.txt'), 0o600)
    await link(stage.path('a.txt'), stage.path('b.txt'))
    await rename(stage.path('a.txt'), stage.path('c.txt'))
    await rename(stage.path('c.txt'), stage.path('a.txt'))
    await utimes(stage.path('a.txt'), new Date(), new Date())
    await publisher.remove(stage.row(content))
    expect(await stage.seen()).toEqual({ 'b.txt': 'content' })
  })

  test('is copied where the blob holds more than the upload, or the upload a part of it', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open()
    const content = await stage.finished('content and more')
    const [extent] = content.extents
    if (extent === undefined) throw new Error('no extent')
    const first = { ...content, extents: [{ ...extent, stop: 7 }], length: 7 }
    await stage.publish(publisher, first, 'first')
    const last = {
      uploadId: randomUUID(),
      extents: [{ ...extent, blobOffset: 12, stop: 4 }],
      length: 4,
    }
    await stage.publish(publisher, last, 'last')
    expect(await stage.seen()).toEqual({ first: 'content', last: 'more' })
    expect(await stage.hidden()).toEqual([])
  })

  test('that is gone is told, before and after it was ready', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open()
    const one = await stage.finished('content')
    const two = await stage.finished('con', 'tent')
    const ready = await publisher.prepare(one.uploadId, one.extents, one.length)
    await rm(stage.blobs, { recursive: true })
    await expect(publisher.place(ready, 'a', null)).rejects.toMatchObject({ code: 'blob_gone' })
    for (const content of [one, two]) {
      await expect(stage.publish(publisher, content, 'a')).rejects.toMatchObject({ code: 'blob_gone' })
    }
    expect(await readdir(stage.directory)).toEqual([])
  })

  test('that is shorter than its rows say is a failure, and leaves nothing', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open()
    const content = await stage.finished('content')
    const [extent] = content.extents
    if (extent) await truncate(blobPath(stage.blobs, extent.blob).file, 3)
    await expect(stage.publish(publisher, content, 'a')).rejects.toMatchObject({ code: 'storage_failed' })
    expect(await readdir(stage.directory)).toEqual([])
  })
})

describe('a finished file that cannot be linked', () => {
  test('of several blobs is copied, and the copy has no other name in the end', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ copyBlockBytes: 2 })
    const content = await stage.finished('con', 't', 'ent')
    const ready = await publisher.prepare(content.uploadId, content.extents, content.length)
    expect(ready.copy).toBe(true)
    expect(await stage.seen()).toEqual({})
    const placed = await publisher.place(ready, 'a.txt', null)
    expect(await stage.seen()).toEqual({ 'a.txt': 'content' })
    expect(await stage.mode('a.txt')).toBe(0o444)
    expect(await stage.hidden()).toEqual([])
    // The database did not hear of it, and it is asked for again.
    expect(await publisher.place(ready, 'a.txt', null)).toEqual(placed)
    await rename(stage.path('a.txt'), stage.path('b.txt'))
    await expect(publisher.place(ready, 'a.txt', null)).rejects.toMatchObject({ code: 'blob_gone' })
  })

  test('uses what an earlier attempt copied whole, and nothing of one that did not come so far', async () => {
    const stage = await PublisherStage.make()
    const content = await stage.finished('con', 'tent')
    const publisher = await stage.open()
    await stage.put(partName(content.uploadId), 'half')
    await publisher.prepare(content.uploadId, content.extents, content.length)
    const [copy = '', ...others] = await stage.hidden()
    expect([copy, others]).toEqual([privateNames(content.uploadId).copy, []])
    const before = await stat(stage.path(copy))
    const calls = new WatchedCalls()
    await stage.publish(stage.publisher({ fs: calls }), content, 'a.txt')
    expect(calls.count('read')).toBe(0)
    expect((await stat(stage.path('a.txt'))).ino).toBe(before.ino)
    expect(await stage.hidden()).toEqual([])
  })

  test('is empty: a file of its own', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open()
    const content = { uploadId: randomUUID(), extents: [], length: 0 }
    await stage.publish(publisher, content, 'empty')
    expect(await stage.seen()).toEqual({ empty: '' })
    expect(await stage.mode('empty')).toBe(0o444)
    await publisher.remove(stage.row(content))
    expect(await readdir(stage.directory)).toEqual([])
  })

  test.each(['EXDEV', 'EPERM', 'ENOTSUP', 'EMLINK'])('for %s is copied', async (code) => {
    const stage = await PublisherStage.make()
    const publisher = stage.publisher({
      names: {
        ...nameCalls,
        link: (from, to) => {
          return from.startsWith(stage.directory) && to.startsWith(stage.directory)
            ? nameCalls.link(from, to)
            : Promise.reject(systemError(code))
        },
      },
    })
    expect(await publisher.open()).toEqual({ copies: true })
    await stage.publish(publisher, await stage.finished('content'), 'a.txt')
    expect(await stage.seen()).toEqual({ 'a.txt': 'content' })
    expect(await stage.hidden()).toEqual([])
  })

  test('since the directory is on another device is copied', async ({ skip }) => {
    const other = await otherDevice()
    if (other === null) return skip('/dev/shm is no other device here')
    const stage = await PublisherStage.make(other)
    const publisher = stage.publisher()
    expect(await publisher.open()).toEqual({ copies: true })
    const content = await stage.finished('content')
    await stage.publish(publisher, content, 'a.txt')
    await stage.publish(publisher, await stage.finished('newer'), 'a.txt')
    expect(Object.values(await stage.seen()).sort()).toEqual(['content', 'newer'])
    await publisher.remove(stage.row(content))
    expect(await stage.seen()).toEqual({ 'a.txt': 'newer' })
  })

  test('on a full disk says so, and leaves nothing', async () => {
    const stage = await PublisherStage.make()
    await stage.open()
    const disk = new SmallDisk(5)
    const publisher = await stage.open({ fs: disk.fs })
    const content = await stage.finished('con', 'tent')
    const failed = expect(stage.publish(publisher, content, 'a')).rejects
    await failed.toMatchObject({ code: 'storage_full' })
    await failed.not.toThrow(stage.directory)
    expect(await readdir(stage.directory)).toEqual([])
    disk.room = 100
    await stage.publish(publisher, content, 'a')
    expect(await stage.seen()).toEqual({ a: 'content' })
  })

  test('leaves the reserve alone', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ reserve: Number.MAX_SAFE_INTEGER })
    const content = await stage.finished('con', 'tent')
    await expect(stage.publish(publisher, content, 'a')).rejects.toMatchObject({ code: 'storage_full' })
  })

  test('is not made again after a process died that had placed it, and told nobody', async () => {
    const stage = await PublisherStage.make()
    const content = await stage.finished('con', 'tent')
    for (let life = 1; life <= 3; life++) {
      const publisher = await stage.open()
      const ready = await publisher.prepare(content.uploadId, content.extents, content.length)
      await publisher.place(ready, 'a.txt', null)
      expect(await stage.seen()).toEqual({ 'a.txt': 'content' })
      expect(await stage.hidden()).toEqual([])
    }
  })
})

describe('a name that is taken', () => {
  test('goes to the newest; the older get their time, three in one second included', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    const contents: Content[] = []
    for (const text of ['one', 'two', 'three', 'four']) {
      const content = await stage.finished(text)
      contents.push(content)
      const placed = await stage.publish(publisher, content, 'same.tar.gz')
      expect(placed.name).toBe('same.tar.gz')
    }
    const seen = {
      'same.tar.gz': 'four',
      'same.tar_20260131_081718.gz': 'one',
      'same.tar_20260131_081718_2.gz': 'two',
      'same.tar_20260131_081718_3.gz': 'three',
    }
    expect(await stage.seen()).toEqual(seen)
    expect(contents.map((content) => stage.row(content).name)).toEqual([
      'same.tar_20260131_081718.gz',
      'same.tar_20260131_081718_2.gz',
      'same.tar_20260131_081718_3.gz',
      'same.tar.gz',
    ])
    for (const content of contents) await publisher.remove(stage.row(content))
    expect(await readdir(stage.directory)).toEqual([])
  })

  test('twenty times at once loses nothing, linked and copied', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    const texts = Array.from({ length: 20 }, (_, number) => `content ${number}`)
    await Promise.all(
      texts.map(async (text, number) => {
        const pieces = number % 2 === 0 ? [text] : [text.slice(0, 4), text.slice(4)]
        await stage.publish(publisher, await stage.finished(...pieces), 'same')
      }),
    )
    const seen = await stage.seen()
    expect(Object.values(seen).sort()).toEqual(texts.sort())
    expect(Object.keys(seen)).toContain('same')
    expect(await stage.hidden()).toEqual([])
  })

  test('hundreds of names at once do not disturb each other', async () => {
    const stage = await PublisherStage.make()
    const publishers = await Promise.all([stage.open({ now }), stage.open({ now })])
    await Promise.all(
      Array.from({ length: 300 }, async (_, number) => {
        const [publisher = publishers[0]] = [publishers[number % 2]]
        await stage.publish(publisher, await stage.finished(`${number}`), `file ${number % 100}`)
      }),
    )
    const seen = await stage.seen()
    expect(Object.keys(seen)).toHaveLength(300)
    expect(new Set(Object.values(seen)).size).toBe(300)
  })

  test.each([
    ['a'.repeat(251), '.mp4'],
    ['名'.repeat(83), '.mp4'],
    ['👩‍👩‍👧‍👦'.repeat(10), '.mp4'],
    ['n'.repeat(255), ''],
  ])('of 255 bytes: %s%s', async (stem, extension) => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    const texts = ['one', 'two', 'three']
    for (const text of texts)
      await stage.publish(publisher, await stage.finished(text), `${stem}${extension}`)
    const seen = await stage.seen()
    expect(seen[`${stem}${extension}`]).toBe('three')
    expect(Object.values(seen).sort()).toEqual(texts.sort())
    for (const name of Object.keys(seen)) expect(name.endsWith(extension)).toBe(true)
  })

  test('by a file that is like ours but not ours is not given up', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    await stage.put('a', 'con', 0o444)
    const content = await stage.finished('c', 'on')
    // Another's by its rights; the same but for a byte.
    await chmod(stage.path('a'), 0o644)
    await stage.publish(publisher, content, 'a')
    await stage.put('b', 'cox', 0o444)
    await stage.publish(publisher, await stage.finished('co', 'n'), 'b')
    expect(await stage.seen()).toEqual({
      a: 'con',
      a_20260131_081718: 'con',
      b: 'con',
      b_20260131_081718: 'cox',
    })
  })

  test('by the same content, of which the registry knows, is displaced as any other', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    const contents = [await stage.finished('con', 'tent'), await stage.finished('con', 'tent')]
    for (const content of contents) await stage.publish(publisher, content, 'a')
    expect(await stage.seen()).toEqual({ a: 'content', a_20260131_081718: 'content' })
    expect(contents.map((content) => stage.row(content).name)).toEqual(['a_20260131_081718', 'a'])
  })
})

describe('a stranger', () => {
  test('has a file there, which is displaced as it is', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    await stage.put('a.txt', 'foreign', 0o640)
    const placed = await stage.publish(publisher, await stage.finished('content'), 'a.txt')
    expect(placed).toMatchObject({ name: 'a.txt', holderName: null })
    expect(await stage.seen()).toEqual({ 'a.txt': 'content', 'a_20260131_081718.txt': 'foreign' })
    expect(await stage.mode('a_20260131_081718.txt')).toBe(0o640)
  })

  test.each([
    ['a symlink', 'target'],
    ['a symlink that leads nowhere', 'nowhere'],
  ])('has %s there, which is displaced, not followed', async (_name, to) => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    await stage.put('target', 'foreign')
    await symlink(to, stage.path('a'))
    const placed = await stage.publish(publisher, await stage.finished('content'), 'a')
    if (process.platform === 'darwin') return expect(placed.name).toBe('a_20260131_081718')
    expect(await stage.seen()).toEqual({
      a: 'content',
      a_20260131_081718: 'a symlink',
      target: 'foreign',
    })
    expect(await readlink(stage.path('a_20260131_081718'))).toBe(to)
  })

  test('has a directory there: ours stands beside it, however often it is placed', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    await mkdir(stage.path('a.txt'))
    for (const pieces of [['one'], ['t', 'wo']]) {
      const content = await stage.finished(...pieces)
      const ready = await publisher.prepare(content.uploadId, content.extents, content.length)
      const placed = await publisher.place(ready, 'a.txt', null)
      expect(isDisplacedName('a.txt', placed.name)).toBe(true)
      expect(await publisher.place(ready, 'a.txt', null)).toEqual(placed)
      stage.record(content, 'a.txt', placed, null)
      expect(await readFile(stage.path(stage.row(content).name ?? ''), 'utf8')).toBe(pieces.join(''))
    }
    expect(await stage.seen()).toEqual({
      'a.txt': 'a directory',
      'a_20260131_081718.txt': 'one',
      'a_20260131_081718_2.txt': 'two',
    })
  })

  test('has a file there that cannot be linked: ours stands beside it', async () => {
    const stage = await PublisherStage.make()
    await stage.put('a', 'foreign')
    const publisher = stage.publisher({
      now,
      names: {
        ...nameCalls,
        link: (from, to) =>
          from === stage.path('a') ? Promise.reject(systemError('EPERM')) : nameCalls.link(from, to),
      },
    })
    const placed = await stage.publish(publisher, await stage.finished('content'), 'a')
    expect(placed.name).toBe('a_20260131_081718')
    expect(await stage.seen()).toEqual({ a: 'foreign', a_20260131_081718: 'content' })
  })

  test('has the timestamped names, too', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    await stage.put('a_20260131_081718', 'foreign')
    await mkdir(stage.path('a_20260131_081718_2'))
    await symlink('nowhere', stage.path('a_20260131_081718_3'))
    for (const text of ['old', 'new']) await stage.publish(publisher, await stage.finished(text), 'a')
    expect(await stage.seen()).toEqual({
      a: 'new',
      a_20260131_081718: 'foreign',
      a_20260131_081718_2: 'a directory',
      a_20260131_081718_3: 'a symlink',
      a_20260131_081718_4: 'old',
    })
  })

  test('puts a file there between any two steps, and neither it nor any other is lost', async () => {
    for (let step = 0; ; step++) {
      const stage = await PublisherStage.make()
      await stage.put('a', 'foreign')
      let left = step
      const publisher = stage.publisher(
        aroundCalls(async (_call, act) => {
          if (left-- === 0) {
            await writeFile(stage.path('b'), 'late')
            await rename(stage.path('a'), stage.path('moved away')).catch(() => undefined)
            await rename(stage.path('b'), stage.path('a'))
          }
          return act()
        }),
      )
      await stage.publish(publisher, await stage.finished('content'), 'a')
      const seen = await stage.seen()
      if (left >= 0) {
        expect(step).toBeGreaterThan(5)
        return
      }
      expect(new Set(Object.values(seen)), `step ${step}`).toEqual(new Set(['content', 'foreign', 'late']))
      expect(await stage.hidden(), `step ${step}`).toEqual([])
    }
  })
})

describe('whoever takes finished files away', () => {
  test('takes the holder: nothing is displaced, and it has no name any more', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    const old = await stage.finished('old')
    await stage.publish(publisher, old, 'a')
    await unlink(stage.path('a'))
    expect(await stage.publish(publisher, await stage.finished('new'), 'a')).toMatchObject({
      name: 'a',
      holderName: null,
    })
    expect(stage.row(old).name).toBeNull()
    await publisher.remove(stage.row(old))
    expect(await stage.seen()).toEqual({ a: 'new' })
  })

  test('puts another in the place of the holder: that is displaced, and is not the holder', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    const old = await stage.finished('old')
    await stage.publish(publisher, old, 'a')
    await rename(stage.path('a'), stage.path('old'))
    await stage.put('a', 'foreign')
    const placed = await stage.publish(publisher, await stage.finished('new'), 'a')
    expect(placed.holderName).toBeNull()
    expect(await stage.seen()).toEqual({ a: 'new', a_20260131_081718: 'foreign', old: 'old' })
  })

  test('takes the directory: it is made again', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    const old = await stage.finished('old')
    await stage.publish(publisher, old, 'a')
    await rm(stage.directory, { recursive: true })
    await publisher.remove(stage.row(old))
    await stage.publish(publisher, await stage.finished('new'), 'a')
    expect(await stage.seen()).toEqual({ a: 'new' })
  })

  test('takes whatever has the name, between any two steps, and finds every file once at least', async () => {
    for (let step = 0; ; step++) {
      const stage = await PublisherStage.make()
      let left = Number.POSITIVE_INFINITY
      const publisher = stage.publisher({
        ...aroundCalls(async (_call, act) => {
          if (left-- === 0) await rename(stage.path('a'), stage.path('moved')).catch(() => undefined)
          return act()
        }),
        now,
      })
      const old = await stage.finished('old')
      await stage.publish(publisher, old, 'a')
      left = step
      await stage.publish(publisher, await stage.finished('new'), 'a')
      if (left >= 0) return expect(step).toBeGreaterThan(5)
      expect(new Set(Object.values(await stage.seen())), `step ${step}`).toEqual(new Set(['old', 'new']))
      expect(await stage.hidden(), `step ${step}`).toEqual([])
    }
  })
})

describe('removing', () => {
  test('takes the file that was published, and no other that has its name', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    const content = await stage.finished('content')
    await stage.publish(publisher, content, 'a')
    await unlink(stage.path('a'))
    await stage.put('a', 'content')
    await publisher.remove(stage.row(content))
    expect(await stage.seen()).toEqual({ a: 'content' })
    await publisher.remove({ ...stage.row(content), name: null, identity: null })
    expect(await stage.seen()).toEqual({ a: 'content' })
  })

  test('finds it under its filename, and where an interrupted attempt displaced it to', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    const contents = [await stage.finished('one'), await stage.finished('two')]
    for (const content of contents) await stage.publish(publisher, content, 'a')
    const [one, two] = contents.map((content) => stage.row(content)) as [Publication, Publication]
    await publisher.remove({ ...one, name: 'a' })
    expect(await stage.seen()).toEqual({ a: 'two' })
    await publisher.remove({ ...two, name: 'a_20260131_081718' })
    expect(await stage.seen()).toEqual({})
    await publisher.remove(two)
  })

  test('takes copies that were never placed', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open()
    const content = await stage.finished('con', 'tent')
    const publication = { uploadId: content.uploadId, filename: 'a', name: null, identity: null }
    await publisher.prepare(content.uploadId, content.extents, content.length)
    await stage.put(partName(content.uploadId), 'half')
    await publisher.remove(publication)
    expect(await readdir(stage.directory)).toEqual([])
    await publisher.remove(publication)
  })

  test('finishes after dying anywhere, and takes nothing else', async () => {
    for (let step = 0; ; step++) {
      const stage = await PublisherStage.make()
      const publisher = await stage.open({ now })
      const content = await stage.finished('content')
      await stage.publish(publisher, content, 'a')
      await stage.publish(publisher, await stage.finished('other'), 'b')
      const mortal = new Mortal(step)
      await expectDeath(mortal, stage.publisher(mortalCalls(mortal)).remove(stage.row(content)))
      await publisher.remove(stage.row(content))
      expect(await stage.seen(), mortal.death ?? 'got through').toEqual({ b: 'other' })
      expect(await stage.hidden()).toEqual([])
      if (mortal.death === null) return expect(step).toBeGreaterThan(3)
    }
  })

  test('spares a file that a stranger puts there at that very moment', async () => {
    for (let step = 0; ; step++) {
      const stage = await PublisherStage.make()
      const content = await stage.finished('content')
      await stage.publish(await stage.open(), content, 'a')
      await writeFile(stage.path('late'), 'late')
      let left = step
      const publisher = stage.publisher(
        aroundCalls(async (_call, act) => {
          if (left-- === 0) await rename(stage.path('late'), stage.path('a'))
          return act()
        }),
      )
      await publisher.remove(stage.row(content))
      expect(Object.values(await stage.seen())).toEqual(['late'])
      expect(await stage.hidden()).toEqual([])
      if (left >= 0) return expect(step).toBeGreaterThan(1)
    }
  })
})

describe('durability', () => {
  test('strict: the names are synced before an older one goes, and before it is done', async () => {
    const stage = await PublisherStage.make()
    await stage.open()
    const steps: string[] = []
    const publisher = stage.publisher({
      ...aroundCalls((call, act) => {
        steps.push(call)
        return act()
      }),
      now,
    })
    const old = await stage.finished('old')
    await stage.publish(publisher, old, 'a')
    expect(steps).toEqual(['link', 'unlink', 'chmod', 'link', 'open', 'fsync'])
    steps.length = 0
    await stage.publish(publisher, await stage.finished('n', 'ew'), 'a')
    const copied = ['open', 'open', 'writev', 'open', 'writev', 'fdatasync', 'rename']
    const displaced = ['link', 'link', 'open', 'fsync', 'rename', 'unlink', 'unlink']
    expect(steps.slice(0, copied.length).sort()).toEqual(copied.sort())
    expect(steps.slice(copied.length)).toEqual([
      'chmod',
      'link',
      ...displaced,
      'link',
      'open',
      'fsync',
      'unlink',
    ])
    steps.length = 0
    await publisher.remove(stage.row(old))
    expect(steps.slice(-2)).toEqual(['open', 'fsync'])
  })

  test('relaxed: no name is synced, but copies are', async () => {
    const stage = await PublisherStage.make()
    const calls = new WatchedCalls()
    const publisher = await stage.open({ durability: 'relaxed', fs: calls })
    await stage.publish(publisher, await stage.finished('con', 'tent'), 'a')
    await stage.publish(publisher, await stage.finished('content'), 'a')
    expect([calls.count('fsync'), calls.count('fdatasync')]).toEqual([0, 1])
    expect(calls.openFiles.size).toBe(0)
  })

  test('a sync that fails is told, and repeating mends it', async () => {
    const stage = await PublisherStage.make()
    await stage.open()
    let fails = true
    const fsync = (fd: number) => (fails ? Promise.reject(systemError('EIO')) : fileCalls.fsync(fd))
    const publisher = stage.publisher({ fs: { ...fileCalls, fsync } })
    const content = await stage.finished('con', 'tent')
    await expect(stage.publish(publisher, content, 'a')).rejects.toMatchObject({ code: 'storage_failed' })
    fails = false
    await stage.publish(publisher, content, 'a')
    expect(await stage.seen()).toEqual({ a: 'content' })
    expect(await stage.hidden()).toEqual([])
  })
})

type Scene = readonly [string, Setting]

interface Setting {
  readonly pieces: readonly string[]
  /** What has the name before. */
  readonly before: 'nothing' | 'holder' | 'file' | 'symlink' | 'directory'
}

const SCENES: readonly Scene[] = [['content'], ['con', 'tent'], []].flatMap((pieces) =>
  (['nothing', 'holder', 'file', 'symlink', 'directory'] as const).map(
    (before): Scene => [`${pieces.length} blobs, ${before} in the way`, { pieces, before }],
  ),
)

/** A later second for every attempt, so that a name given twice would be seen. */
function laterAndLater(): () => Date {
  let time = MOMENT.getTime()
  return () => {
    time += 1000
    return new Date(time)
  }
}

describe('an attempt that ends at any step', () => {
  test.each(SCENES)('by death: %s', async (_name, setting) => {
    for (let step = 0; ; step++) {
      const mortal = new Mortal(step)
      await attemptTwice(setting, mortalCalls(mortal), () => mortal.death !== null, `step ${step}`)
      if (mortal.death === null) return expect(step).toBeGreaterThan(5)
    }
  })

  test.each(SCENES)('by a failure: %s', async (_name, setting) => {
    for (let step = 0; ; step++) {
      let left = step
      const failing = aroundCalls((_call, act) => (left-- === 0 ? Promise.reject(systemError('EIO')) : act()))
      await attemptTwice(setting, failing, () => left < 0, `step ${step}`)
      if (left >= 0) return expect(step).toBeGreaterThan(3)
    }
  })

  test('is not done twice, though another of its name came in between', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open({ now })
    const contents = [await stage.finished('one'), await stage.finished('two')] as const
    const [one, two] = contents
    const ready = await publisher.prepare(one.uploadId, one.extents, one.length)
    await publisher.place(ready, 'a', null)
    // Nobody heard of it: the file is a stranger's.
    await stage.publish(publisher, two, 'a')
    const placed = await stage.publish(publisher, one, 'a')
    expect(placed).toMatchObject({ name: 'a_20260131_081718', holderName: null })
    expect(await stage.seen()).toEqual({ a: 'two', a_20260131_081718: 'one' })
    for (const content of contents) await publisher.remove(stage.row(content))
    expect(await readdir(stage.directory)).toEqual([])
  })

  test('by death, of one that displaced a file: the next of its name finds it', async () => {
    for (let step = 0; ; step++) {
      const stage = await PublisherStage.make()
      const steady = await stage.open({ now })
      const [old, dying, next] = [
        await stage.finished('old'),
        await stage.finished('dead'),
        await stage.finished('new'),
      ]
      await stage.publish(steady, old, 'a')
      const holder = stage.holderOf('a')
      const mortal = new Mortal(step)
      const publisher = stage.publisher({ ...mortalCalls(mortal), now })
      const ready = await steady.prepare(dying.uploadId, dying.extents, dying.length)
      await expectDeath(mortal, publisher.place(ready, 'a', holder))
      await stage.publish(steady, next, 'a')
      const label = mortal.death ?? 'got through'
      expect((await stage.seen())[stage.row(old).name ?? ''], label).toBe('old')
      await stage.publish(steady, dying, 'a')
      expect(new Set(Object.values(await stage.seen())), label).toEqual(new Set(['old', 'dead', 'new']))
      expect(await stage.hidden(), label).toEqual([])
      for (const content of [dying, next]) {
        expect((await stage.seen())[stage.row(content).name ?? '']).toBe(content === dying ? 'dead' : 'new')
      }
      if (mortal.death === null) return expect(step).toBeGreaterThan(5)
    }
  })

  test('twice in a row', async () => {
    for (let first = 0; first < 40; first += 3) {
      for (let second = 0; second < 40; second += 3) {
        const [one, two] = [new Mortal(first), new Mortal(second)]
        const setting: Setting = { pieces: ['con', 'tent'], before: 'holder' }
        await attemptTwice(
          setting,
          mortalCalls(one),
          () => true,
          `steps ${first}, ${second}`,
          mortalCalls(two),
        )
      }
    }
  })
})

type Calls = ReturnType<typeof aroundCalls>

/** One attempt ends early; another process repeats it. Nothing is lost, doubled or left over. */
async function attemptTwice(
  { pieces, before }: Setting,
  calls: Calls,
  ended: () => boolean,
  label: string,
  between?: Calls,
): Promise<void> {
  const stage = await PublisherStage.make()
  const now = laterAndLater()
  const steady = await stage.open({ now })
  const old = before === 'holder' ? await stage.finished('old') : null
  if (old !== null) await stage.publish(steady, old, 'a')
  if (before === 'file') await stage.put('a', 'old')
  if (before === 'symlink') await symlink('nowhere', stage.path('a'))
  if (before === 'directory') await mkdir(stage.path('a'))
  const older = Object.values(await stage.seen())
  const holder = stage.holderOf('a')

  const content = await stage.finished(...pieces)
  for (const attempt of between ? [calls, between] : [calls]) {
    try {
      const dying = stage.publisher({ ...attempt, now })
      const ready = await dying.prepare(content.uploadId, content.extents, content.length)
      await dying.place(ready, 'a', holder)
    } catch (error) {
      if (!ended()) throw error
    }
    const meanwhile = Object.values(await stage.seen())
    for (const one of older) expect(meanwhile, `${label}: in between`).toContain(one)
  }

  const ready = await steady.prepare(content.uploadId, content.extents, content.length)
  const placed = await steady.place(ready, 'a', holder)
  const seen = await stage.seen()
  const expected = [...older, pieces.join('')]
  // A copy that got through beside a directory, and of which nobody heard, cannot be told from one of another upload.
  const doubled = before === 'directory' && pieces.length !== 1 && Object.keys(seen).length === 3
  if (doubled) expected.push(pieces.join(''))
  expect(Object.values(seen).sort(), label).toEqual(expected.sort())
  expect(seen[placed.name], label).toBe(pieces.join(''))
  expect(await stage.mode(placed.name)).toBe(0o444)
  if (before !== 'directory' && process.platform !== 'darwin') expect(placed.name).toBe('a')
  if (holder !== null) expect(seen[placed.holderName ?? ''], `${label}: holder`).toBe('old')
  else expect(placed.holderName).toBeNull()
  expect(await stage.hidden(), label).toEqual([])
  stage.record(content, 'a', placed, holder)
  await steady.remove(stage.row(content))
  const left = doubled ? [pieces.join('')] : []
  expect(Object.values(await stage.seen()).sort(), label).toEqual([...older, ...left].sort())
}

function mortalCalls(mortal: Mortal): Calls {
  const { fs, names } = aroundCalls((call, act) => mortal.step(call, act))
  return {
    // Whoever dies closes its files.
    fs: {
      ...fs,
      open: (path, flags) => mortal.step('open', () => fileCalls.open(path, flags), fileCalls.close),
    },
    names: { ...names, lstat: (path) => mortal.look(() => nameCalls.lstat(path)) },
  }
}

async function expectDeath(mortal: Mortal, act: Promise<unknown>): Promise<void> {
  try {
    await act
  } catch (error) {
    if (mortal.death === null) throw error
  }
}

describe('opening', () => {
  test('makes the directory, and says that links can be made', async () => {
    const stage = await PublisherStage.make()
    expect(await stage.publisher().open()).toEqual({ copies: false })
    expect(await readdir(stage.directory)).toEqual([])
    expect(await readdir(stage.blobs)).toEqual([])
  })

  test('fails where no file can be made', async () => {
    const stage = await PublisherStage.make()
    const open = (path: string, flags: number) =>
      path.startsWith(stage.directory) ? Promise.reject(systemError('EACCES')) : fileCalls.open(path, flags)
    const failed = expect(
      stage.publisher({ durability: 'relaxed', fs: { ...fileCalls, open } }).open(),
    ).rejects
    await failed.toMatchObject({ code: 'storage_failed', message: 'The storage failed to do its work.' })
    const file = join(stage.blobs, 'file')
    await writeFile(file, '')
    await expect(stage.publisher({ directory: file }).open()).rejects.toMatchObject({
      code: 'storage_failed',
    })
  })

  test('a full disk is no reason not to', async () => {
    const stage = await PublisherStage.make()
    await stage.open()
    const open = (path: string, flags: number) =>
      path.includes('probe') ? Promise.reject(systemError('ENOSPC')) : fileCalls.open(path, flags)
    await stage.open({ fs: { ...fileCalls, open } })
  })

  test('keeps what may still be of use, and what is not ours', async () => {
    const stage = await PublisherStage.make()
    await stage.put(partName(randomUUID()), 'half')
    await stage.put(privateNames(randomUUID()).copy, 'whole')
    await stage.put('.hidden', 'foreign')
    await stage.open()
    expect(await readdir(stage.directory)).toHaveLength(3)
  })

  test('removes what nobody has touched for a day and nobody needs', async () => {
    const stage = await PublisherStage.make()
    const [part, copy, placed] = [partName(randomUUID()), privateNames(randomUUID()).copy, randomUUID()]
    await stage.put(part, 'half')
    await stage.put(copy, 'whole')
    await stage.put('placed', 'whole')
    await link(stage.path('placed'), stage.path(privateNames(placed).copy))
    const old = BigInt(Date.now() - 25 * 60 * 60 * 1000) * 1_000_000n
    const lstatLongAgo = async (path: string) => Object.assign(await nameCalls.lstat(path), { ctimeNs: old })
    await stage.open({ names: { ...nameCalls, lstat: lstatLongAgo } })
    expect([...(await readdir(stage.directory))].sort()).toEqual([copy, 'placed'].sort())
  })
})

describe('names and rights', () => {
  test('no name leads out of the directory, or is one of ours', async () => {
    const stage = await PublisherStage.make()
    const publisher = await stage.open()
    const content = await stage.finished('content')
    const ready = await publisher.prepare(content.uploadId, content.extents, content.length)
    for (const name of ['', '.', '..', '../a', 'a/b', '/a', 'a/', 'a\0', '.tributary-x']) {
      await expect(publisher.place(ready, name, null), name).rejects.toThrow(RangeError)
      const publication = { uploadId: content.uploadId, filename: 'a', name, identity: '1:1' }
      await expect(publisher.remove(publication), name).rejects.toThrow(RangeError)
    }
    await expect(publisher.prepare('../a', [], 0)).rejects.toThrow(RangeError)
    await expect(publisher.prepare(content.uploadId, content.extents, 6)).rejects.toThrow(RangeError)
    expect(await readdir(stage.directory)).toEqual([])
  })

  test('what goes wrong is told without a path', async () => {
    const stage = await PublisherStage.make()
    const link = () =>
      Promise.reject(Object.assign(systemError('EIO'), { message: `EIO ${stage.directory}` }))
    const publisher = stage.publisher({ names: { ...nameCalls, link } })
    const failure = await stage.publish(publisher, await stage.finished('a'), 'a').catch((error) => error)
    expect(failure).toMatchObject({ code: 'storage_failed', cause: { code: 'EIO' } })
    expect(failure.message).not.toContain('/')
  })

  test('a read-only copy of an earlier attempt is no obstacle', async () => {
    const stage = await PublisherStage.make()
    const content = await stage.finished('con', 'tent')
    const publisher = await stage.open()
    const { path } = await publisher.prepare(content.uploadId, content.extents, content.length)
    await chmod(path, 0o444)
    await stage.publish(publisher, content, 'a')
    expect(await stage.seen()).toEqual({ a: 'content' })
  })
})

/** A directory on another device than that of temporary files. */
async function otherDevice(): Promise<string | null> {
  try {
    const [other, own] = [await lstat('/dev/shm'), await lstat(tmpdir())]
    return other.isDirectory() && other.dev !== own.dev ? '/dev/shm' : null
  } catch {
    return null
  }
}
