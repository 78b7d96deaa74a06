import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type RecordingKind, replay, scenariosOf } from '../support/frago-recordings.js'
import { sharedDatabase, startTributary } from '../support/tributary.js'

/** The configurations the recordings were made under, in our settings. */
const PROFILES: Readonly<Record<string, () => Promise<Record<string, string>>>> = {
  default: async () => ({}),
  user: async () => ({ CHUNKED_UPLOADER_IDENTIFIER_MODE: 'user' }),
  token: async () => ({ CHUNKED_UPLOADER_IDENTIFIER_MODE: 'user', AUTH_TOKENS: await tokens() }),
  nochecksum: async () => ({ CHUNKED_UPLOADER_DO_CHECKSUM: 'False' }),
  expiry: async () => ({ CHUNKED_UPLOADER_EXPIRATION: '2' }),
  sha256type: async () => ({ CHUNKED_UPLOADER_CHECKSUM_TYPE: 'sha256' }),
}

async function tokens(): Promise<string> {
  const file = join(await mkdtemp(join(tmpdir(), 'tokens-')), 'tokens')
  const users = ['alice', 'bob', 'carol', 'dave', 'erin']
  await writeFile(file, users.map((user) => `${user}-test-token ${user}\n`).join(''))
  return file
}

const KINDS: readonly RecordingKind[] = ['KEEP', 'FIX']

describe('what the real frago was recorded with', () => {
  test.each(Object.keys(PROFILES))('is there: %s', (profile) => {
    const count = KINDS.reduce((sum, kind) => sum + scenariosOf(profile, kind), 0)
    expect(count).toBeGreaterThan(0)
  })

  test.each(Object.keys(PROFILES))(
    'is answered as it was, and its faults are mended: %s',
    async (profile) => {
      const env = await PROFILES[profile]?.()
      const server = await startTributary({ env: { ...sharedDatabase(), ...env } })
      for (const base of [`${server.origin}/api`, server.origin]) {
        const outcomes = await Promise.all(
          KINDS.filter((kind) => scenariosOf(profile, kind) > 0).map((kind) => replay(base, profile, kind)),
        )
        for (const { output } of outcomes) expect(output, server.stderr).toMatch(/\n?\d+ passed, 0 failed\n$/)
        for (const { code } of outcomes) expect(code).toBe(0)
      }
    },
    120_000,
  )
})
