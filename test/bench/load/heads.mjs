import { program } from './program.mjs'

/**
 * Asks for uploads by HEAD over so many connections at once, so often over each. A curl process a connection, because one that
 * holds many is slower than the servers. wrk cannot do it: it waits for a body that an answer to HEAD does not have. Each connection has
 * uploads of its own: some servers lock an upload for a HEAD, and who comes second waits for seconds. Resolves with
 * how many were answered in how many seconds. Rejects for an answer of 400 or more.
 */
export async function heads(uploads, { connections, each }) {
  const began = performance.now()
  await Promise.all(
    Array.from({ length: connections }, (_, connection) => {
      const own = uploads.filter((_, index) => index % connections === connection)
      return ask(Array.from({ length: each }, (_, n) => own[n % own.length]))
    }),
  )
  return { requests: connections * each, seconds: (performance.now() - began) / 1000 }
}

async function ask(urls) {
  const args = ['-q', '-sS', '--fail', '--fail-early', '--noproxy', '*', '--max-time', '60', '--head']
  const version = ['--header', 'Tus-Resumable: 1.0.0']
  const input = urls.map((url) => `url = "${url}"\n`).join('')
  // Its output is not taken: reading it would cost the machine more than the heads.
  const { code, stderr } = await program('curl', [...args, ...version, '--config', '-'], {
    input,
    stdout: 'ignore',
  })
  if (code !== 0) throw new Error(`curl ended with ${code}: ${stderr.trim()}`)
}
