import { createServer } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startS3 } from '../support/s3-server.js'
import { sharedDatabase, spawnTributary, startTributary } from '../support/tributary.js'

async function outcomeOf(options: Parameters<typeof spawnTributary>[0]) {
  const tributary = await spawnTributary(options)
  const exit = await tributary.exited
  return { ...exit, stdout: tributary.stdout, stderr: tributary.stderr }
}

describe('the command', () => {
  it('explains itself', async () => {
    const { code, stdout } = await outcomeOf({ args: ['--help'] })
    expect(code).toBe(0)
    expect(stdout).toMatch(/serve.*migrate.*sweep.*DATA_DIR, --data-dir/s)
  })

  it('says its version', async () => {
    const { code, stdout } = await outcomeOf({ args: ['--version'] })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it.each([[[]], [['swerve']], [['serve', '--wrong']]])(
    '%j is misuse: a sentence and exit code 2',
    async (args) => {
      const { code, stdout, stderr } = await outcomeOf({ args })
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr.trim().split('\n')).toHaveLength(1)
    },
  )

  it('lists every setting that cannot work, without a stack, and exits 2', async () => {
    const { code, stderr } = await outcomeOf({ env: { PORT: 'abc', STORE: 'tape', JWT_JWKS_URL: 'hush' } })
    expect(code).toBe(2)
    expect(stderr).toMatch(/^PORT: .*\nSTORE: must be one of disk, s3.*\nJWT_JWKS_URL: .*\n$/)
    expect(stderr).not.toContain('hush')
  })
})

describe('a start', () => {
  it('prints one line, when requests are already answered', async () => {
    const tributary = await startTributary({ env: { ...sharedDatabase(), TUS_PATH: '/up/load' } })
    expect(tributary.stdout).toMatch(/^Tributary is ready at http:\/\/127\.0\.0\.1:\d+\/up\/load\n$/)
    const health = await fetch(`${tributary.origin}/healthz`)
    expect([health.status, await health.text()]).toEqual([200, 'ok\n'])
    const ready = await fetch(`${tributary.origin}/readyz`)
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true, database: 'up', storage: 'up' }])
  })

  it('logs settings that have no effect', async () => {
    const tributary = await startTributary({ env: { ...sharedDatabase(), S3_BUCKET: 'uploads' } })
    expect(tributary.log).toContainEqual(
      expect.objectContaining({ msg: expect.stringMatching(/^S3_BUCKET: has no effect without STORE=s3/) }),
    )
  })

  it('shows an IPv6 address as URLs have it', async () => {
    const tributary = await startTributary({ env: { ...sharedDatabase(), HOST: '::1' } })
    expect(tributary.url).toMatch(/^http:\/\/\[::1\]:\d+\/files$/)
  })

  it.each([
    [{ HOST: '192.0.2.1' }, /^HOST: 192\.0\.2\.1 is not an address of this machine \(.*\)\n$/],
    [{ DATA_DIR: '/dev/null/x' }, /^DATA_DIR: .*there is a file in its way.*\n$/],
    [{ DATA_DIR: '/proc/x' }, /^DATA_DIR: .*cannot be made.*\n$/],
    [
      { DATABASE_URL: 'postgres://nobody:secret@127.0.0.1:9/none' },
      /^DATABASE_URL: the database cannot be used: .*ECONNREFUSED.*\n$/,
    ],
  ])('with %j ends with one sentence and exit code 1', async (env, sentence) => {
    const { code, stdout, stderr } = await outcomeOf({ env: { ...sharedDatabase(), ...env } })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(sentence)
    expect(stderr).not.toContain('secret')
  })

  it('says of S3 what it lacks, without what it would say to clients', async () => {
    const s3 = await startS3()
    onTestFinished(() => s3.stop())
    const objects = {
      ...sharedDatabase(),
      STORE: 's3',
      S3_ENDPOINT: s3.endpoint,
      S3_BUCKET: s3.bucket,
      ...s3.env,
    }
    const absent = await outcomeOf({ env: { ...objects, S3_BUCKET: 'nobodys-bucket' } })
    expect(absent.code).toBe(1)
    expect(absent.stderr).toMatch(/^S3_BUCKET: nobodys-bucket cannot be used: [^:]+\n$/)
    const away = await outcomeOf({ env: { ...objects, S3_ENDPOINT: 'http://127.0.0.1:9' } })
    expect(away.code).toBe(1)
    expect(away.stderr).toMatch(/^S3_ENDPOINT: S3 cannot be reached: connect ECONNREFUSED 127\.0\.0\.1:9\n$/)
  })

  it('names PORT when the port is taken', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const address = other.address()
    const port = typeof address === 'object' && address !== null ? String(address.port) : ''
    const { code, stderr } = await outcomeOf({ env: { ...sharedDatabase(), PORT: port } })
    other.close()
    expect(code).toBe(1)
    expect(stderr).toContain(`PORT: ${port} is in use on 127.0.0.1`)
    expect(stderr).not.toMatch(/^ +at /m)
  })

  it('needs no database of yours, and keeps a second server off its own', async () => {
    const tributary = await startTributary()
    const DATA_DIR = tributary.dataDir
    const second = await outcomeOf({ env: { DATA_DIR } })
    expect(second.code).toBe(1)
    expect(second.stderr).toContain(
      `DATA_DIR is in use by pid ${tributary.child.pid}; give DATABASE_URL to run several servers`,
    )
    expect(await tributary.end('SIGTERM')).toEqual({ code: 0, signal: null })
  })
})

describe('the other commands', () => {
  it('migrate brings the database up to date, once', async () => {
    const env = sharedDatabase()
    const first = await outcomeOf({ args: ['migrate'], env })
    expect(first).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Applied 0001_.*\.\n$/) })
    const second = await outcomeOf({ args: ['migrate'], env })
    expect(second).toMatchObject({ code: 0, stdout: 'The database is up to date.\n' })
  })

  it('sweep runs once and counts', async () => {
    const { code, stdout } = await outcomeOf({ args: ['sweep'] })
    expect(code).toBe(0)
    expect(stdout).toBe('Expired uploads: 0. Blobs removed: 0. Leftover files removed: 0.\n')
  })

  it('sweep on an embedded database that a server owns is refused', async () => {
    const tributary = await startTributary()
    const { code, stderr } = await outcomeOf({ args: ['sweep'], env: { DATA_DIR: tributary.dataDir } })
    expect(code).toBe(1)
    expect(stderr).toContain('DATA_DIR is in use by pid')
  })
})
