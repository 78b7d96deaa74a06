import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ALLOWED = [/^\.\//, /^\.\.\/(upload|http)\//, /^node:/, /^@tus\/(server|utils)$/]

test('src/tus knows the domain, src/http and @tus, and nothing else', async () => {
  const room = join(import.meta.dirname, '../../src/tus')
  for (const file of await readdir(room)) {
    const text = await readFile(join(room, file), 'utf8')
    for (const [, target = ''] of text.matchAll(/(?:from|import) '([^']+)'/g)) {
      expect([file, target, ALLOWED.some((pattern) => pattern.test(target))]).toEqual([file, target, true])
      expect([file, target]).not.toEqual([file, 'node:fs'])
    }
  }
})
