import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../src/command/free-port.js'
import { findProgram } from './find-program.js'

export type BalancerName = 'haproxy' | 'nginx'

const EXAMPLES = new URL('../../examples/cluster/', import.meta.url)
const START_MS = 45_000

/** The program, or null where it is not installed. */
export function findBalancer(name: BalancerName): Promise<string | null> {
  return findProgram(name, '-v')
}

/** A load balancer before three nodes, with the configuration of `examples/cluster` as it is. */
export class Balancer {
  readonly url: string
  readonly #child: ChildProcess
  readonly #directory: string

  private constructor(child: ChildProcess, directory: string, port: number) {
    this.#child = child
    this.#directory = directory
    this.url = `http://127.0.0.1:${port}`
  }

  static async start(name: BalancerName, program: string, nodes: readonly number[]): Promise<Balancer> {
    const directory = await mkdtemp(join(tmpdir(), `tributary-${name}-`))
    const port = await freePort('127.0.0.1')
    const [one, two, three] = nodes.map((node) => `127.0.0.1:${node}`)
    const env = { LISTEN: `127.0.0.1:${port}`, NODE_1: one, NODE_2: two, NODE_3: three }
    const args = name === 'haproxy' ? haproxyArgs() : await nginxArgs(directory, env)
    const child = spawn(program, args, {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let words = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      words += text
    })
    const balancer = new Balancer(child, directory, port)
    const deadline = performance.now() + START_MS
    while (!(await answers(port))) {
      if (child.exitCode !== null || performance.now() > deadline) {
        await balancer.stop()
        throw new Error(`${name} does not answer: ${words}`)
      }
      await sleep(20)
    }
    return balancer
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit')
      this.#child.kill('SIGTERM')
      await ended
    }
    await rm(this.#directory, { recursive: true, force: true })
  }
}

function haproxyArgs(): readonly string[] {
  return ['-db', '-f', fileURLToPath(new URL('haproxy.cfg', EXAMPLES))]
}

/** What the official image does with its templates, and what its own nginx.conf has around them. */
async function nginxArgs(
  directory: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<readonly string[]> {
  const template = await readFile(new URL('nginx.conf.template', EXAMPLES), 'utf8')
  const site = template.replace(/\$\{(\w+)\}/g, (_, name: string) => env[name] ?? '')
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((place) => `${place}_temp_path ${directory}/${place};`)
    .join('\n')
  const config = join(directory, 'nginx.conf')
  await writeFile(
    config,
    `daemon off;\nmaster_process off;\npid ${directory}/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${places}\n${site}\n}\n`,
  )
  return ['-c', config, '-p', directory, '-e', 'stderr']
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
