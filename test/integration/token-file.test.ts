import { mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Logger } from '../../src/upload/log.js'
import { TokenFile } from '../../stores/tokens/token-file.js'

interface Line {
  readonly level: string
  readonly message: string
}

/** A file of tokens, and a clock the test turns. */
async function stage(text: string) {
  const directory = await mkdtemp(join(tmpdir(), 'tributary-tokens-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const path = join(directory, 'tokens')
  await writeFile(path, text)
  const lines: Line[] = []
  const at = (level: string) => (_facts: object, message: string) => void lines.push({ level, message })
  const log: Logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  let now = 0
  const file = await TokenFile.open({ path, log, clock: () => now })
  return {
    path,
    file,
    lines,
    /** Time of our own, beyond the next look. */
    later: (milliseconds = 1_000) => {
      now += milliseconds
    },
    /** Changed long enough ago to be whole. */
    edit: async (changed: string) => {
      await writeFile(path, changed)
      const before = new Date(Date.now() - 500 - Math.random() * 1_000)
      await utimes(path, before, before)
    },
  }
}

test('a changed file is read again, at most once a second', async () => {
  const { file, lines, later, edit } = await stage('a ann')
  await edit('b bob')
  expect(await file.ownerOf('b')).toBeNull()
  later()
  expect([await file.ownerOf('b'), await file.ownerOf('a')]).toEqual(['bob', null])
  await edit('c cid')
  later(999)
  expect(await file.ownerOf('c')).toBeNull()
  later(1)
  expect(await Promise.all([file.ownerOf('c'), file.ownerOf('b')])).toEqual(['cid', null])
  expect(lines.map(({ level }) => level)).toEqual(['info', 'info'])
})

test('a bad edit, or a file that is gone, keeps the tokens and is told once', async () => {
  const { path, file, lines, later, edit } = await stage('a ann')
  await edit('a')
  for (let look = 0; look < 3; look++) {
    later()
    expect(await file.ownerOf('a')).toBe('ann')
  }
  expect(lines).toEqual([{ level: 'error', message: expect.stringContaining('stay valid') }])
  await rm(path)
  for (let look = 0; look < 3; look++) {
    later()
    expect(await file.ownerOf('a')).toBe('ann')
  }
  expect(lines).toHaveLength(2)
  await edit('b bob')
  later()
  expect([await file.ownerOf('a'), await file.ownerOf('b')]).toEqual([null, 'bob'])
})

test('a file changed this moment is waited for: it may be half written', async () => {
  const { path, file, later } = await stage('a ann')
  await writeFile(path, 'a an')
  later()
  expect(await file.ownerOf('a')).toBe('ann')
  await writeFile(path, 'a anna')
  await expect
    .poll(() => {
      later(100)
      return file.ownerOf('a')
    })
    .toBe('anna')
})

test('a file put in its place is noticed though it is as old and as long', async () => {
  const { path, file, later } = await stage('a ann')
  const before = new Date(Date.now() - 60_000)
  await utimes(path, before, before)
  later()
  await file.ownerOf('a')
  await writeFile(`${path}.new`, 'a bob')
  await utimes(`${path}.new`, before, before)
  await rename(`${path}.new`, path)
  later()
  expect(await file.ownerOf('a')).toBe('bob')
})

test('an empty file lets nobody in, and says so', async () => {
  const { file, lines } = await stage('')
  expect(await file.ownerOf('a')).toBeNull()
  expect(lines).toEqual([{ level: 'warn', message: expect.stringContaining('nobody gets in') }])
})

test.each([
  ['/nowhere/tokens', /ENOENT/],
  ['/tmp', /not a file/],
  ['/dev/zero', /not a file/],
])('%s cannot be opened', async (path, sentence) => {
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  await expect(TokenFile.open({ path, log })).rejects.toThrow(sentence)
})
