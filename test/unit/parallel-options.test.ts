import { describe, expect, test } from 'vitest'
import { openPostgresLocker } from '../../stores/open-locker.js'
import { openParallelStore } from '../../stores/parallel/open.js'

const database = 'postgres://127.0.0.1:9/none'
const bytes = { directory: 'unused' }

describe('openParallelStore says what is wrong with its options', () => {
  test.each([
    [undefined, /^Options are needed: at least database and bytes\.$/],
    [{ bytes }, /^database must be a URL .* it is missing\.$/],
    [{ bytes, database: 5 }, /it is 5\.$/],
    [{ bytes, database: 'mysql://user:secret@x' }, /it is one of mysql\.$/],
    [{ bytes, database, directDatabase: 'x' }, /^directDatabase must be a URL .* it is something else\.$/],
    [{ bytes, database, schema: 'A B' }, /^schema must be .* not "A B"\.$/],
    [{ bytes, database, bogus: 1 }, /^bogus: no such option; there are database, bytes, /],
    [{ database }, /^bytes must be \{ directory \}/],
    [{ database, bytes: './x' }, /^bytes must be \{ directory \}/],
    [{ database, bytes: {} }, /^bytes must be \{ directory \}/],
    [{ database, bytes, expiration: '24h' }, /^expiration must be .* not 24h\.$/],
    [{ database, bytes, maxSize: 0 }, /^maxSize must be .* not 0\.$/],
  ])('%j', async (options, sentence) => {
    await expect(openParallelStore(options as never)).rejects.toThrow(sentence)
  })
})

test('openPostgresLocker does, too', async () => {
  await expect(openPostgresLocker({} as never)).rejects.toThrow(/^database must be a URL/)
  await expect(openPostgresLocker({ database, schema: '' })).rejects.toThrow(/^schema must be/)
  await expect(openPostgresLocker({ database, bytes } as never)).rejects.toThrow(/^bytes: no such option/)
})
