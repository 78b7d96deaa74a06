import { program } from '../load/program.mjs'

/** curl has no more transfers under way at once than 300. */
const A_PROCESS = 250

/** Sends a file to each upload, to all of them at the same time, each held to so many bytes a second. */
export async function trickle(uploads, file, rate) {
  const shares = Array.from({ length: Math.ceil(uploads.length / A_PROCESS) }, (_, share) =>
    uploads.slice(share * A_PROCESS, (share + 1) * A_PROCESS),
  )
  await Promise.all(shares.map((share) => send(share, file, rate)))
}

async function send(uploads, file, rate) {
  const together = ['--parallel', '--parallel-immediate', '--parallel-max', String(A_PROCESS)]
  const headers = [
    'Tus-Resumable: 1.0.0',
    'Upload-Offset: 0',
    'Content-Type: application/offset+octet-stream',
    'Expect:',
  ]
  const args = [
    ...['-q', '--no-progress-meter', '--fail', '--fail-early', '--noproxy', '*'],
    ...[...together, '--limit-rate', String(rate), '--request', 'PATCH'],
    ...headers.flatMap((header) => ['--header', header]),
    ...['--config', '-'],
  ]
  const input = uploads.map((url) => `url = "${url}"\nupload-file = "${file}"\n`).join('')
  const { code, stderr } = await program('curl', args, { input, stdout: 'ignore' })
  if (code === 0) return
  // The others were given up with it, and say so, too.
  const [reason] = stderr.split('\n').filter((line) => !line.includes('(42)'))
  throw new Error(`curl ended with ${code}: ${reason}`)
}
