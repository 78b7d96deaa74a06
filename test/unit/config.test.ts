import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseCommandLine } from '../../src/config/command-line.js'
import { parseDuration } from '../../src/config/durations.js'
import { flagOf, LATER_SETTINGS, SETTINGS, type Setting } from '../../src/config/settings.js'
import { parseSize } from '../../src/config/sizes.js'
import { ConfigError, type Environment, helpText, parseConfig } from '../../src/config.js'

function problemsOf(env: Environment, argv: readonly string[] = ['serve']): readonly string[] {
  try {
    parseConfig(env, argv)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

describe('without any setting', () => {
  it('is what DESIGN fixes', () => {
    expect(parseConfig({}, ['serve'])).toEqual({
      command: 'serve',
      host: '127.0.0.1',
      port: 1080,
      workers: 1,
      poolSize: 10,
      dataDir: './data',
      databaseUrl: null,
      databaseDirectUrl: null,
      databaseSchema: 'tributary',
      store: 'disk',
      objects: null,
      tusPath: '/files',
      fragoPaths: ['/api/upload', '/upload'],
      authTokens: null,
      jwtSecret: null,
      jwtJwksUrl: null,
      identifierMode: 'anonymous',
      retainPublished: null,
      checksumType: 'md5',
      doChecksum: true,
      fragoExpiration: 86_400_000,
      blobsDirectory: 'data/blobs',
      assembledDirectory: 'data/assembled',
      assembleReadSize: 8 * 1024 * 1024,
      durability: 'strict',
      assembly: 'background',
      expiration: 86_400_000,
      maxSize: null,
      behindProxy: false,
      idleTimeout: 60_000,
      warnings: [],
    })
  })

  it('is frozen', () => {
    expect(Object.isFrozen(parseConfig({}, ['serve']))).toBe(true)
  })

  it('takes an empty variable and an empty flag for not set, where empty does not say something itself', () => {
    const plain = SETTINGS.filter((setting: Setting) => setting.empty === undefined)
    const empty = Object.fromEntries([...plain, ...LATER_SETTINGS].map(({ name }) => [name, '']))
    const flags = plain.map(({ name }) => `${flagOf(name)}=`)
    expect(parseConfig(empty, ['serve', ...flags])).toEqual(parseConfig({}, ['serve']))
  })
})

describe('every setting', () => {
  const examples: Readonly<Record<(typeof SETTINGS)[number]['name'], readonly [string, string, unknown]>> = {
    HOST: ['::1', 'host', '::1'],
    PORT: ['0', 'port', 0],
    WORKERS: ['64', 'workers', 64],
    DATA_DIR: ['/srv/with space', 'dataDir', '/srv/with space'],
    DATABASE_URL: ['postgres://u:p@h:1/d', 'databaseUrl', 'postgres://u:p@h:1/d'],
    DATABASE_DIRECT_URL: ['postgresql://h/d', 'databaseDirectUrl', 'postgresql://h/d'],
    DATABASE_SCHEMA: ['_uploads2', 'databaseSchema', '_uploads2'],
    STORE: ['disk', 'store', 'disk'],
    S3_BUCKET: ['my.uploads', 'objects.bucket', 'my.uploads'],
    S3_ENDPOINT: ['http://minio:9000', 'objects.endpoint', 'http://minio:9000'],
    S3_REGION: ['eu-central-1', 'objects.region', 'eu-central-1'],
    S3_PREFIX: ['a/b_c/', 'objects.prefix', 'a/b_c/'],
    S3_MAX_PARTS: ['1000', 'objects.maxParts', 1000],
    TUS_PATH: ['/a/b.c~d', 'tusPath', '/a/b.c~d'],
    FRAGO_PATHS: ['/v1/upload/, /u', 'fragoPaths', ['/v1/upload', '/u']],
    AUTH_TOKENS: ['/run/secrets/tokens', 'authTokens', { file: '/run/secrets/tokens' }],
    JWT_SECRET: ['s'.repeat(32), 'jwtSecret', 's'.repeat(32)],
    JWT_JWKS_URL: ['https://id.example/jwks.json', 'jwtJwksUrl', 'https://id.example/jwks.json'],
    CHUNKED_UPLOADER_IDENTIFIER_MODE: ['user', 'identifierMode', 'user'],
    DURABILITY: ['relaxed', 'durability', 'relaxed'],
    ASSEMBLY: ['inline', 'assembly', 'inline'],
    EXPIRATION: ['never', 'expiration', null],
    CHUNKED_UPLOADER_EXPIRATION: ['2', 'fragoExpiration', 2_000],
    RETAIN_PUBLISHED: ['0', 'retainPublished', 0],
    CHUNKED_UPLOADER_CHUNK_UPLOAD_PATH: ['/srv/chunks/', 'blobsDirectory', '/srv/chunks/'],
    CHUNKED_UPLOADER_ASSEMBLED_PATH: ['assembled_videos/', 'assembledDirectory', 'assembled_videos/'],
    CHUNKED_UPLOADER_ASSEMBLE_READ_SIZE: ['4KiB', 'assembleReadSize', 4096],
    CHUNKED_UPLOADER_CHECKSUM_TYPE: ['SHA3-256', 'checksumType', 'sha3_256'],
    CHUNKED_UPLOADER_DO_CHECKSUM: ['False', 'doChecksum', false],
    MAX_SIZE: ['10GiB', 'maxSize', 10_737_418_240],
    BEHIND_PROXY: ['true', 'behindProxy', true],
    IDLE_TIMEOUT: ['90', 'idleTimeout', 90_000],
  }

  it.each(SETTINGS.map(({ name }) => name))(
    '%s is read from its variable and from its flag, in both forms',
    (name) => {
      const [text, key, meaning] = examples[name]
      const objects = name.startsWith('S3_') ? { STORE: 's3', S3_BUCKET: 'uploads' } : {}
      const env = { DATABASE_URL: 'postgres://h/d', ...objects }
      for (const config of [
        parseConfig({ ...env, [name]: text }, ['serve']),
        parseConfig(env, ['serve', flagOf(name), text]),
        parseConfig(env, [`${flagOf(name)}=${text}`, 'serve']),
      ]) {
        expect(config).toHaveProperty(key, meaning)
      }
    },
  )

  it('is in the help, with its flag and default', () => {
    for (const setting of SETTINGS) {
      expect(helpText()).toContain(`${setting.name}, ${flagOf(setting.name)}`)
    }
  })

  it('has a default its own parser takes', () => {
    const env = Object.fromEntries(SETTINGS.flatMap((s) => (s.default === null ? [] : [[s.name, s.default]])))
    expect(parseConfig(env, ['serve'])).toEqual(parseConfig({}, ['serve']))
  })

  it('is in the README, with its default', () => {
    const readme = new URL('../../README.md', import.meta.url)
    if (!existsSync(readme)) throw new Error('There is no README.md yet: it must list every setting.')
    const text = readFileSync(readme, 'utf8')
    const rows = text.split('\n').filter((line) => line.startsWith('| `'))
    for (const setting of SETTINGS) {
      const row = rows.find((line) => line.startsWith(`| \`${setting.name}\` |`))
      expect(row, `README.md has no table row for ${setting.name}`).toBeDefined()
      if (setting.default !== null) expect(row).toContain(`\`${setting.default}\``)
      expect(row, `README.md does not say what the help says of ${setting.name}`).toContain(
        setting.description,
      )
    }
    const listed = rows.flatMap((line) => /^\| `([A-Z][A-Z0-9_]+)` \|/.exec(line)?.[1] ?? [])
    const known = [...SETTINGS, ...LATER_SETTINGS].map(({ name }) => name)
    expect(known, 'README.md lists a setting the server does not know').toEqual(
      expect.arrayContaining(listed),
    )
  })
})

describe('flags', () => {
  it('win over variables', () => {
    expect(parseConfig({ PORT: '1' }, ['serve', '--port', '2']).port).toBe(2)
  })

  it('may hold an equals sign in their value', () => {
    const url = 'postgres://h/d?options=-c%20a=b'
    expect(parseConfig({}, ['serve', `--database-url=${url}`]).databaseUrl).toBe(url)
  })

  it('may be a bare toggle before the command', () => {
    const config = parseConfig({}, ['--behind-proxy', 'sweep'])
    expect(config).toMatchObject({ command: 'sweep', behindProxy: true })
    expect(parseConfig({ BEHIND_PROXY: '1' }, ['serve', '--behind-proxy', 'false']).behindProxy).toBe(false)
  })

  it.each([
    [['serve', '--prot', '1'], 'There is no flag --prot. tributary --help lists them all.'],
    [['serve', '--port'], '--port needs a value, as in --port=VALUE.'],
    [['serve', '--port', '--host', 'x'], '--port needs a value, as in --port=VALUE.'],
    [
      ['server'],
      'There is no command "server", only serve, migrate, sweep. tributary --help lists them all.',
    ],
    [[], 'Say what to do: one of serve, migrate, sweep. tributary --help lists them all.'],
    [['serve', 'now'], '"now" is one word too many. tributary --help lists them all.'],
  ])('%j is refused with a sentence', (argv, sentence) => {
    expect(problemsOf({}, argv)).toEqual([sentence])
  })

  it.each([['--help'], ['-h']])('%s wins over everything else', (flag) => {
    expect(parseCommandLine(['nonsense', flag]).command).toBe('help')
  })
})

describe('what cannot work', () => {
  it.each([
    ['HOST', 'http://x', 'HOST: must be a host name or an IP address, got "http://x"'],
    ['PORT', 'abc', 'PORT: must be an integer from 0 to 65535, got "abc"'],
    ['PORT', '65536', 'PORT: must be an integer from 0 to 65535, got "65536"'],
    ['PORT', '-1', 'PORT: must be an integer from 0 to 65535, got "-1"'],
    ['PORT', '1e3', 'PORT: must be an integer from 0 to 65535, got "1e3"'],
    ['WORKERS', 'auto', 'WORKERS: must be an integer from 1 to 64, got "auto"'],
    [
      'DATABASE_URL',
      'mysql://u:secret@h/d',
      'DATABASE_URL: must be a URL like postgres://user:password@host:5432/database',
    ],
    [
      'DATABASE_URL',
      'postgres://[',
      'DATABASE_URL: must be a URL like postgres://user:password@host:5432/database',
    ],
    ['STORE', 's3', 'S3_BUCKET: is needed with STORE=s3'],
    ['STORE', 'tape', 'STORE: must be one of disk, s3, got "tape"'],
    [
      'TUS_PATH',
      '/healthz',
      'TUS_PATH: must be another path than /healthz, /readyz, /openapi.json, got "/healthz"',
    ],
    ['DURABILITY', 'Strict', 'DURABILITY: must be one of strict, relaxed, got "Strict"'],
    ['ASSEMBLY', 'later', 'ASSEMBLY: must be one of background, inline, never, got "later"'],
    ['BEHIND_PROXY', 'yes', 'BEHIND_PROXY: must be true or false, got "yes"'],
  ])('%s=%s stops the start with a sentence', (name, text, sentence) => {
    expect(problemsOf({ [name]: text })).toEqual([sentence])
  })

  it.each([
    ['TUS_PATH', ['files', '/', '/files/', '/a//b', '/a/../b', '/a b', '/a?b', '/ü']],
    ['DATABASE_SCHEMA', ['Upper', '1st', 'a-b', 'a"b', 'pg_mine', 'information_schema', 'x'.repeat(64)]],
    ['EXPIRATION', ['0', '0h', '-1', '1.5h', 'soon', '99999999d']],
    ['IDLE_TIMEOUT', ['0', '25d', 'never', '1ms']],
    ['WORKERS', ['0', '-1', '65', '1.5', '2 ']],
    ['MAX_SIZE', ['0', '-1', '10 apples', '9007199254740992', '0.1', '1e9']],
  ])('%s refuses %j', (name, texts) => {
    for (const text of texts) {
      const [problem, ...more] = problemsOf({ [name]: text })
      expect(problem, text).toMatch(new RegExp(`^${name}: must be .*, got `))
      expect(more).toEqual([])
    }
  })

  it.each([
    ['S3_BUCKET', ['a', 'has space', '-x', 'x'.repeat(64)]],
    ['S3_REGION', ['eu central']],
    ['S3_PREFIX', ['uploads', '/uploads/', 'a//', '../', 'ü/']],
    ['S3_MAX_PARTS', ['1', '10001', 'many']],
  ])('%s refuses %j', (name, texts) => {
    for (const text of texts) {
      const problems = problemsOf({ STORE: 's3', S3_BUCKET: 'uploads', [name]: text })
      expect(problems, text).toEqual([expect.stringMatching(new RegExp(`^${name}: must be .*, got `))])
    }
  })

  it('is an endpoint with credentials, which it does not repeat', () => {
    const url = 'https://me:hunter2@s3.example.com'
    const problems = problemsOf({ STORE: 's3', S3_BUCKET: 'uploads', S3_ENDPOINT: url })
    expect(problems).toHaveLength(1)
    expect(problems.join()).not.toContain('hunter2')
  })

  it('is told all at once, and never with a password', () => {
    const problems = problemsOf({ PORT: 'x', DATABASE_URL: 'mysql://me:hunter2@h', MAX_SIZE: 'y' })
    expect(problems).toHaveLength(3)
    expect(problems.join()).not.toContain('hunter2')
  })

  it('keeps each sentence on one short line', () => {
    const [problem] = problemsOf({ PORT: `a\nb${'c'.repeat(10_000)}` })
    expect(problem).not.toContain('\n')
    expect(problem?.length).toBeLessThan(200)
  })

  it('is a direct way to a database nobody named', () => {
    expect(problemsOf({ DATABASE_DIRECT_URL: 'postgres://h/d' })).toEqual([
      'DATABASE_DIRECT_URL: is only of use together with DATABASE_URL',
    ])
  })
})

describe('workers', () => {
  const EMBEDDED = 96
  const counts = Array.from({ length: 64 }, (_, index) => index + 1)

  it('divide the connections of the embedded database', () => {
    for (const count of counts.slice(0, 16)) {
      const { workers, poolSize } = parseConfig({ WORKERS: String(count) }, ['serve'])
      expect([workers, poolSize]).toEqual([count, expect.any(Number)])
      expect(poolSize).toBeGreaterThanOrEqual(4)
      expect(workers * (poolSize + 2), `${count} workers`).toBeLessThanOrEqual(EMBEDDED)
    }
  })

  it('are refused where it has too few', () => {
    for (const count of counts.slice(16)) {
      expect(problemsOf({ WORKERS: String(count) })).toEqual([
        'WORKERS: must be at most 16 with the embedded database, which has no connections for more; give DATABASE_URL',
      ])
    }
  })

  it('have a pool each on a database of yours', () => {
    const config = parseConfig({ WORKERS: '64', DATABASE_URL: 'postgres://h/d' }, ['serve'])
    expect(config).toMatchObject({ workers: 64, poolSize: 10 })
  })

  it.each(['migrate', 'sweep'])('are none of %s’s business', (command) => {
    expect(parseConfig({ WORKERS: '64' }, [command])).toMatchObject({ workers: 1, poolSize: 10 })
    expect(problemsOf({ WORKERS: 'many' }, [command])).toHaveLength(1)
  })
})

describe('settings of later versions', () => {
  const of = (when: string) =>
    LATER_SETTINGS.filter((setting) => setting.when === when).map(({ name }) => name)

  it.each(of('stop'))('%s stops the start: ignoring it would betray a trust', (name) => {
    expect(problemsOf({ [name]: 'x' })).toEqual([expect.stringMatching(`^${name}: .*unset it$`)])
    expect(problemsOf({}, ['serve', flagOf(name), 'x'])).toHaveLength(1)
  })

  it.each(of('warn'))('%s is ignored, but not in silence', (name) => {
    expect(parseConfig({ [name]: 'x' }, ['serve']).warnings).toEqual([
      `${name}: is not available yet and has no effect`,
    ])
  })

  it('are frago’s models, and name the hook in their place', () => {
    expect(of('stop')).toEqual(['CHUNKED_UPLOADER_CHUNK_MODEL', 'CHUNKED_UPLOADER_UPLOAD_MODEL'])
    const [problem] = problemsOf({ CHUNKED_UPLOADER_UPLOAD_MODEL: 'app.Upload' })
    expect(problem).toContain('onUploadRow of openTributary')
  })
})

describe('the paths of frago', () => {
  const pathsOf = (env: Environment) => parseConfig(env, ['serve'])

  it.each(['', 'none'])('%j is nowhere', (text) => {
    expect(pathsOf({ FRAGO_PATHS: text }).fragoPaths).toEqual([])
    expect(parseConfig({ FRAGO_PATHS: '/x' }, ['serve', `--frago-paths=${text}`]).fragoPaths).toEqual(
      text === '' ? ['/x'] : [],
    )
  })

  it.each([
    ['/files', 'FRAGO_PATHS: must be apart from TUS_PATH, which is /files, got /files'],
    ['/u,/files/frago', 'FRAGO_PATHS: must be apart from TUS_PATH, which is /files, got /files/frago'],
    ['/u,/u/v', 'FRAGO_PATHS: must be paths of which none is inside another (/u, /u/v), got "/u,/u/v"'],
    ['/u,/u/', 'FRAGO_PATHS: must be paths of which none is inside another (/u, /u), got "/u,/u/"'],
    ['/readyz', 'FRAGO_PATHS: must be another path than /healthz, /readyz, /openapi.json, got "/readyz"'],
    [
      '/openapi.json/x',
      'FRAGO_PATHS: must be another path than /healthz, /readyz, /openapi.json, got "/openapi.json/x"',
    ],
  ])('%s stops the start', (text, sentence) => {
    expect(problemsOf({ FRAGO_PATHS: text })).toEqual([sentence])
  })

  it.each(['/', ',', '/a,', 'upload', '/a//', '/a b'])('%j is none', (text) => {
    expect(problemsOf({ FRAGO_PATHS: text })).toEqual([
      expect.stringMatching(/^FRAGO_PATHS: must be a path /),
    ])
  })

  it('may begin alike', () => {
    expect(pathsOf({ FRAGO_PATHS: '/up,/upload', TUS_PATH: '/uploads' }).fragoPaths).toEqual([
      '/up',
      '/upload',
    ])
  })

  it('give way to a TUS_PATH that was there before them', () => {
    const config = pathsOf({ TUS_PATH: '/upload' })
    expect(config.fragoPaths).toEqual(['/api/upload'])
    expect(config.warnings).toEqual([
      'FRAGO_PATHS: /upload is left out of the default, as it would meet TUS_PATH, /upload',
    ])
    expect(pathsOf({ TUS_PATH: '/api' }).fragoPaths).toEqual(['/upload'])
  })
})

describe('authentication', () => {
  const MODE = 'CHUNKED_UPLOADER_IDENTIFIER_MODE'

  it.each([
    ['tokens.txt', { file: 'tokens.txt' }],
    ['./table:x', { file: './table:x' }],
    ['table:tokens', { table: 'tokens' }],
    ['table:Auth.Token_view', { table: 'Auth.Token_view' }],
  ])('AUTH_TOKENS=%s', (text, meaning) => {
    expect(parseConfig({ AUTH_TOKENS: text }, ['serve']).authTokens).toEqual(meaning)
  })

  it.each(['table:', 'table:a.b.c', 'table:a-b', 'table:a"b', 'table:a.', `table:${'x'.repeat(64)}`])(
    'AUTH_TOKENS refuses %j',
    (text) => {
      expect(problemsOf({ AUTH_TOKENS: text })).toEqual([
        expect.stringMatching(
          /^AUTH_TOKENS: must be the path of a file, table:NAME or table:SCHEMA.NAME, got /,
        ),
      ])
    },
  )

  it.each(['id.example/jwks', 'ftp://id.example/jwks', 'https://me:hunter2@id.example/jwks', 'https://'])(
    'JWT_JWKS_URL refuses %j, and does not repeat it',
    (text) => {
      const problems = problemsOf({ JWT_JWKS_URL: text })
      expect(problems).toEqual([expect.stringMatching(/^JWT_JWKS_URL: must be a URL /)])
      expect(problems.join()).not.toContain('hunter2')
    },
  )

  it.each([
    [{ AUTH_TOKENS: 'x' }],
    [{ JWT_SECRET: 's'.repeat(32) }],
    [{ JWT_JWKS_URL: 'http://id.example' }],
  ])('%j makes uploads their users’ own', (env) => {
    expect(parseConfig(env, ['serve'])).toMatchObject({ identifierMode: 'user', warnings: [] })
    expect(parseConfig({ ...env, [MODE]: 'anonymous' }, ['serve']).identifierMode).toBe('anonymous')
    expect(parseConfig({ ...env, [MODE]: 'device' }, ['serve']).identifierMode).toBe('device')
  })

  it('refuses a secret that can be guessed, without showing it', () => {
    const problems = problemsOf({ JWT_SECRET: 'hunter2' })
    expect(problems).toEqual([expect.stringMatching(/^JWT_SECRET: must have at least 32 bytes/)])
    expect(problems.join()).not.toContain('hunter2')
  })

  it('may be missing in user mode, which then refuses everybody', () => {
    const config = parseConfig({ [MODE]: 'user' }, ['serve'])
    expect(config.identifierMode).toBe('user')
    expect(config.warnings).toEqual([expect.stringContaining('every request is refused with 403')])
  })

  it('may not be missing in device mode', () => {
    expect(problemsOf({ [MODE]: 'device' })).toEqual([
      `${MODE}: device takes the device from the authentication, so it needs AUTH_TOKENS, JWT_SECRET or JWT_JWKS_URL`,
    ])
  })

  it.each(['User', 'ip', 'session'])('knows no mode %s', (text) => {
    expect(problemsOf({ [MODE]: text })).toEqual([
      `${MODE}: must be one of anonymous, user, device, got "${text}"`,
    ])
  })
})

describe('frago’s settings', () => {
  const read = (name: string, text: string) => parseConfig({ [`CHUNKED_UPLOADER_${name}`]: text }, ['serve'])

  it.each([
    ['MD5', 'md5'],
    ['sha-256', 'sha256'],
    ['SHA512', 'sha512'],
    ['sha3_224', 'sha3_224'],
    ['sha3-384', 'sha3_384'],
    ['Blake2B', 'blake2b'],
    ['blake2s', 'blake2s'],
  ])('CHECKSUM_TYPE %s is %s', (text, algorithm) => {
    expect(read('CHECKSUM_TYPE', text).checksumType).toBe(algorithm)
  })

  it.each(['crc32', 'shake_128', 'sha-3', 'sha', 'ripemd160', 'constructor'])(
    'CHECKSUM_TYPE refuses %s',
    (text) => {
      expect(problemsOf({ CHUNKED_UPLOADER_CHECKSUM_TYPE: text })).toEqual([
        expect.stringMatching(/must be one of md5, sha1, .*, blake2s, got /),
      ])
    },
  )

  it.each([
    ['true', true],
    ['True', true],
    ['YES', true],
    ['on', true],
    ['1', true],
    ['FALSE', false],
    ['no', false],
    ['Off', false],
    ['0', false],
  ])('DO_CHECKSUM %s is %s', (text, meaning) => {
    expect(read('DO_CHECKSUM', text).doChecksum).toBe(meaning)
  })

  it.each([
    ['CHUNKED_UPLOADER_DO_CHECKSUM', ['maybe', '2']],
    ['CHUNKED_UPLOADER_EXPIRATION', ['0', 'soon', 'timedelta(days=1)']],
    ['CHUNKED_UPLOADER_ASSEMBLE_READ_SIZE', ['0', '4095', '8 * 1024 * 1024', '257MiB']],
    ['RETAIN_PUBLISHED', ['never', '-1', '1.5h']],
  ])('%s refuses %j', (name, texts) => {
    for (const text of texts) {
      expect(problemsOf({ [name]: text })).toEqual([
        expect.stringMatching(new RegExp(`^${name}: must be .*, got `)),
      ])
    }
  })

  it('expires uploads as EXPIRATION says, unless told otherwise', () => {
    expect(parseConfig({ EXPIRATION: 'never' }, ['serve']).fragoExpiration).toBeNull()
    expect(parseConfig({ EXPIRATION: '5' }, ['serve']).fragoExpiration).toBe(5_000)
    const env = { EXPIRATION: '5', CHUNKED_UPLOADER_EXPIRATION: 'never' }
    expect(parseConfig(env, ['serve'])).toMatchObject({ expiration: 5_000, fragoExpiration: null })
  })

  it('keeps finished files for ever, or as told', () => {
    expect(parseConfig({ RETAIN_PUBLISHED: '7d' }, ['serve']).retainPublished).toBe(604_800_000)
    expect(parseConfig({ RETAIN_PUBLISHED: 'forever' }, ['serve']).retainPublished).toBeNull()
  })

  it('puts its directories into DATA_DIR', () => {
    expect(parseConfig({ DATA_DIR: '/srv/t' }, ['serve'])).toMatchObject({
      blobsDirectory: '/srv/t/blobs',
      assembledDirectory: '/srv/t/assembled',
    })
  })

  const CHUNKS = 'CHUNKED_UPLOADER_CHUNK_UPLOAD_PATH'
  const ASSEMBLED = 'CHUNKED_UPLOADER_ASSEMBLED_PATH'

  it.each([
    [{ [ASSEMBLED]: './data' }],
    [{ [ASSEMBLED]: 'data/blobs/' }],
    [{ [ASSEMBLED]: 'data/blobs/done' }],
    [{ [CHUNKS]: '/srv/a', [ASSEMBLED]: '/srv/b/../a' }],
  ])('%j: names of clients would meet what is ours', (env) => {
    expect(problemsOf({ DATABASE_URL: 'postgres://h/d', ...env })).toEqual([
      expect.stringMatching(
        /^CHUNKED_UPLOADER_ASSEMBLED_PATH: finished files .* need directories of their own/,
      ),
    ])
  })

  it('keeps its directories apart from the embedded database', () => {
    expect(problemsOf({ [CHUNKS]: 'data/postgres/chunks' })).toEqual([
      `${CHUNKS}: must be apart from the embedded database in data/postgres, got "data/postgres/chunks"`,
    ])
    expect(problemsOf({ [ASSEMBLED]: 'data/postgres', DATABASE_URL: 'postgres://h/d' })).toEqual([])
    expect(problemsOf({ [CHUNKS]: '/srv/..data', [ASSEMBLED]: '/srv/data' })).toEqual([])
  })
})

describe('durations', () => {
  it.each([
    ['90', 90_000],
    ['90s', 90_000],
    ['15m', 900_000],
    ['24h', 86_400_000],
    ['1d', 86_400_000],
    ['0', 0],
    ['1w', null],
    ['1.5h', null],
    [' 1h', null],
    ['', null],
    ['36501d', null],
  ])('%j is %j ms', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds)
  })
})

describe('sizes', () => {
  it.each([
    ['1000', 1000],
    ['1B', 1],
    ['1KiB', 1024],
    ['1.5 GiB', 1_610_612_736],
    ['10GB', 10_000_000_000],
    ['10gb', 10_000_000_000],
    ['2TiB', 2_199_023_255_552],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['9007199254740993', null],
    ['9000TiB', null],
    ['1.5', null],
    ['G', null],
    ['', null],
  ])('%j is %j bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes)
  })
})

describe('a mistyped name', () => {
  it('in frago’s namespace stops the start', () => {
    expect(problemsOf({ CHUNKED_UPLOADER_CHECKSUM_TYP: 'sha256' })).toEqual([
      expect.stringMatching(/^CHUNKED_UPLOADER_CHECKSUM_TYP: is no setting/),
    ])
  })

  it('of what would protect is warned of', () => {
    const { warnings } = parseConfig({ AUTH_TOKEN: 'tokens.txt', JWT_KEY: 'x', PATH: '/bin' }, ['serve'])
    expect(warnings).toEqual([
      expect.stringMatching(/^AUTH_TOKEN: is no/),
      expect.stringMatching(/^JWT_KEY: is no/),
    ])
  })
})
