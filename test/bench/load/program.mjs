import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'

/** Runs a program to its end. Rejects when it cannot be started; what its exit status means is the caller's to say. */
export async function program(command, args, { input = '', stdout = 'pipe' } = {}) {
  const child = spawn(command, args, { stdio: ['pipe', stdout, 'pipe'] })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr']) {
    // latin1 keeps what a server sent as it is, whatever that was.
    child[name]?.setEncoding('latin1').on('data', (text) => {
      output[name] += text
    })
  }
  // A program that ends without reading says why by its exit status.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const [code, signal] = await once(child, 'close')
  return { code: code ?? signal, ...output }
}

/** Those of the programs that are not installed. */
export function missing(programs) {
  return programs.filter((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).error !== undefined)
}
