import { program } from './program.mjs'

/** Seconds after which a transfer is given up: a server that hangs must not hang the benchmark. */
const PATIENCE = 600

/**
 * @typedef {object} Transfer
 * @property {string} url
 * @property {string} [method]  default GET
 * @property {Record<string, string>} [headers]
 * @property {string} [file]    the body: the path of a file
 * @property {string} [text]    the body: as it is
 * @property {string} [form]    the body: a form, in curl's notation
 * @property {number} [rate]    bytes a second that it is held to
 */

/** Resolves with { status, headers, body, seconds }; the time is curl's own, without the start of the process. */
export async function curl(transfer) {
  const [answer] = await curlAll([transfer])
  return answer
}

/** One transfer after the other by one process, over one connection where the server keeps it. */
export async function curlAll(transfers) {
  const config = `fail-early\n${transfers.map(section).join('\nnext\n')}\n`
  // -q: the user's .curlrc is not part of the benchmark.
  const { code, stdout, stderr } = await program('curl', ['-q', '--config', '-'], { input: config })
  if (code !== 0) throw new Error(`curl ended with ${code}: ${stderr.trim()}`)
  const answers = stdout.split(/<<(\d+ [\d.]+)>>\n/)
  return transfers.map((transfer, index) => ({
    ...readAnswer(answers[2 * index], answers[2 * index + 1]),
    request: transfer,
  }))
}

/** The answer, if its status is one of those. */
export function expectStatus(answer, ...statuses) {
  if (statuses.includes(answer.status)) return answer
  const { method = 'GET', url } = answer.request
  throw new Error(
    `${method} ${new URL(url).pathname} was answered with ${answer.status}: ${answer.body.trim()}`,
  )
}

function section({ url, method = 'GET', headers = {}, file, text, form, rate }) {
  const settings = [
    ['url', url],
    ...(method === 'HEAD' ? [['head']] : [['request', method], ['include']]),
    // An empty Expect keeps curl from waiting for a 100 that not every server sends.
    ...Object.entries({ Expect: '', ...headers }).map(([name, value]) => [
      'header',
      `${name}: ${value}`.trim(),
    ]),
    ...(file === undefined ? [] : [['upload-file', file]]),
    ...(text === undefined ? [] : [['data-raw', text]]),
    ...(form === undefined ? [] : [['form', form]]),
    ...(rate === undefined ? [] : [['limit-rate', String(rate)]]),
    ['write-out', '<<%{http_code} %{time_total}>>\\n'],
    ['max-time', String(PATIENCE)],
    ['noproxy', '*'],
    ['silent'],
    ['show-error'],
  ]
  return settings
    .map(([name, value]) => (value === undefined ? name : `${name} = ${quoted(value)}`))
    .join('\n')
}

/** As curl's config files have it. */
function quoted(value) {
  return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}

function readAnswer(text = '', figures = '') {
  const [status, seconds] = figures.split(' ').map(Number)
  let body = text
  let head = ''
  // Interim answers (100) come before the one that counts.
  while (/^HTTP\/[\d.]+ \d/.test(body)) {
    const end = body.indexOf('\r\n\r\n')
    head = body.slice(0, end)
    body = body.slice(end + 4)
  }
  const headers = new Headers(
    head
      .split('\r\n')
      .slice(1)
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  )
  return { status, seconds, headers, body }
}
