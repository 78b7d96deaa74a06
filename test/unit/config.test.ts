import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseCommandLine } from '../../src/config/command-line.js'
import { parseDuration } from '../../src/config/durations.js'
import { flagOf, LATER_SETTINGS, SETTINGS } from '../../src/config/settings.js'
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
      dataDir: './data',
      databaseUrl: null,
      databaseDirectUrl: null,
      databaseSchema: 'tributary',
      store: 'disk',
      tusPath: '/files',
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

  it('takes an empty variable and an empty flag for not set', () => {
    const empty = Object.fromEntries([...SETTINGS, ...LATER_SETTINGS].map(({ name }) => [name, '']))
    const flags = SETTINGS.map(({ name }) => `${flagOf(name)}=`)
    expect(parseConfig(empty, ['serve', ...flags])).toEqual(parseConfig({}, ['serve']))
  })
})

describe('every setting', () => {
  const examples: Readonly<Record<(typeof SETTINGS)[number]['name'], readonly [string, string, unknown]>> = {
    HOST: ['::1', 'host', '::1'],
    PORT: ['0', 'port', 0],
    DATA_DIR: ['/srv/with space', 'dataDir', '/srv/with space'],
    DATABASE_URL: ['postgres://u:p@h:1/d', 'databaseUrl', 'postgres://u:p@h:1/d'],
    DATABASE_DIRECT_URL: ['postgresql://h/d', 'databaseDirectUrl', 'postgresql://h/d'],
    DATABASE_SCHEMA: ['_uploads2', 'databaseSchema', '_uploads2'],
    STORE: ['disk', 'store', 'disk'],
    TUS_PATH: ['/a/b.c~d', 'tusPath', '/a/b.c~d'],
    DURABILITY: ['relaxed', 'durability', 'relaxed'],
    ASSEMBLY: ['inline', 'assembly', 'inline'],
    EXPIRATION: ['never', 'expiration', null],
    MAX_SIZE: ['10GiB', 'maxSize', 10_737_418_240],
    BEHIND_PROXY: ['true', 'behindProxy', true],
    IDLE_TIMEOUT: ['90', 'idleTimeout', 90_000],
  }

  it.each(SETTINGS.map(({ name }) => name))(
    '%s is read from its variable and from its flag, in both forms',
    (name) => {
      const [text, key, meaning] = examples[name]
      const env = { DATABASE_URL: 'postgres://h/d' }
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
    ['STORE', 's3', 'STORE: s3 is not available yet; leave STORE unset, or set it to disk'],
    ['STORE', 'tape', 'STORE: must be disk, got "tape"'],
    ['TUS_PATH', '/healthz', 'TUS_PATH: must be another path than /healthz and /readyz, got "/healthz"'],
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
    ['MAX_SIZE', ['0', '-1', '10 apples', '9007199254740992', '0.1', '1e9']],
  ])('%s refuses %j', (name, texts) => {
    for (const text of texts) {
      const [problem, ...more] = problemsOf({ [name]: text })
      expect(problem, text).toMatch(new RegExp(`^${name}: must be .*, got `))
      expect(more).toEqual([])
    }
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

  it('include all that would protect uploads', () => {
    expect(of('stop')).toEqual(expect.arrayContaining(['AUTH_TOKENS', 'JWT_SECRET', 'JWT_JWKS_URL']))
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
