import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { CreateBucketCommand, DeleteBucketCommand } from '@aws-sdk/client-s3'
import { freePort } from '../../src/command/free-port.js'
import { s3Client } from '../../stores/s3/client.js'

const START_MS = 45_000
/** Nobody else reaches the servers that we start. */
const KEYS = { AWS_ACCESS_KEY_ID: 'tributary-test', AWS_SECRET_ACCESS_KEY: 'tributary-test-secret' }

/** What `.ci/s3-server` builds; found in PATH, too. */
const PROGRAM = 'versitygw'

/** A bucket of its own on a real server. */
export interface S3Server {
  readonly name: string
  readonly endpoint: string
  readonly bucket: string
  /** What a server process needs in its environment. */
  readonly env: Readonly<Record<string, string>>
  stop(): Promise<void>
}

/**
 * S3_ENDPOINT with the credentials of the environment; or versitygw, in a process of its own; or, where there is neither, s3rver in this
 * process, which can do less.
 */
export async function startS3(): Promise<S3Server> {
  if (process.env.S3_ENDPOINT) return given(process.env.S3_ENDPOINT)
  Object.assign(process.env, KEYS)
  return (await hasProgram()) ? startVersitygw() : startS3rver()
}

async function given(endpoint: string): Promise<S3Server> {
  const bucket = `tributary-test-${Date.now()}-${process.pid}`
  await makeBucket(endpoint, bucket)
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = process.env
  return {
    ...{ name: 'S3_ENDPOINT', endpoint, bucket },
    env: { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY },
    stop: async () => {
      const client = s3Client({ endpoint, region: null })
      // One that is not empty stays, for whoever wants to know why.
      await client.send(new DeleteBucketCommand({ Bucket: bucket })).catch(() => undefined)
      client.destroy()
    },
  }
}

/** Why a test cannot run on the server there is; null where it can. */
export async function lackOfS3(): Promise<string | null> {
  if (process.env.S3_ENDPOINT || (await hasProgram())) return null
  return `s3rver copies no parts, lists no multipart uploads and cuts some ranges wrong: give S3_ENDPOINT, or ${PROGRAM} (.ci/s3-server)`
}

async function hasProgram(): Promise<boolean> {
  try {
    await promisify(execFile)(PROGRAM, ['--version'])
    return true
  } catch {
    return false
  }
}

async function startVersitygw(): Promise<S3Server> {
  const directory = await mkdtemp(join(tmpdir(), 'tributary-s3-'))
  const data = join(directory, 'data')
  await mkdir(data)
  const port = await freePort('127.0.0.1')
  // Not with --keep-alive, as in the benchmark: version 1.8.0 then resets connections that @tus/s3-store has written short bodies to.
  const child = spawn(PROGRAM, ['--port', `127.0.0.1:${port}`, '--quiet', 'posix', data], {
    env: {
      PATH: process.env.PATH,
      ROOT_ACCESS_KEY: KEYS.AWS_ACCESS_KEY_ID,
      ROOT_SECRET_KEY: KEYS.AWS_SECRET_ACCESS_KEY,
    },
    stdio: 'ignore',
  })
  const endpoint = `http://127.0.0.1:${port}`
  const stop = async () => {
    await end(child)
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    await untilAnswers(endpoint, 'tributary', child)
  } catch (error) {
    await stop()
    throw error
  }
  return { name: PROGRAM, endpoint, bucket: 'tributary', env: KEYS, stop }
}

async function startS3rver(): Promise<S3Server> {
  const S3rver = createRequire(import.meta.url)('s3rver') as new (
    options: object,
  ) => { run(): Promise<{ port: number }>; close(): Promise<void> }
  const directory = await mkdtemp(join(tmpdir(), 'tributary-s3rver-'))
  const server = new S3rver({ address: '127.0.0.1', port: 0, silent: true, directory })
  const { port } = await server.run()
  // The one pair it knows.
  const keys = { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER' }
  Object.assign(process.env, keys)
  const endpoint = `http://127.0.0.1:${port}`
  await makeBucket(endpoint, 'tributary')
  return {
    ...{ name: 's3rver', endpoint, bucket: 'tributary', env: keys },
    stop: async () => {
      await server.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function untilAnswers(endpoint: string, bucket: string, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + START_MS
  for (;;) {
    try {
      return await makeBucket(endpoint, bucket)
    } catch (error) {
      if (child.exitCode !== null || performance.now() > deadline) throw error
    }
    await sleep(50)
  }
}

async function makeBucket(endpoint: string, bucket: string): Promise<void> {
  const client = s3Client({ endpoint, region: null })
  try {
    await client.send(new CreateBucketCommand({ Bucket: bucket }))
  } finally {
    client.destroy()
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const patience = setTimeout(() => child.kill('SIGKILL'), 5_000)
  await ended
  clearTimeout(patience)
}
