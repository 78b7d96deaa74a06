import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { RawClient } from './raw-client.js'

/** A client that means harm, or whose machine died: what it does to a server at this port. */
export type HostileClient = (port: number, path: string) => Promise<void>

const TUS = 'Host: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n'

/** Says something that is not what a server may expect, and stays until it is thrown out or answered. */
function says(text: string | Buffer): HostileClient {
  return async (port) => {
    const client = await RawClient.open(port)
    await client.say(text)
    client.socket.end()
    await client.closed
  }
}

/** What no parser should let through, or what it lets through though few servers think of it. */
export const STRANGE_REQUESTS: Readonly<Record<string, (path: string) => string | Buffer>> = {
  'a TLS hello': () => Buffer.from('160301020001000001fc0303', 'hex'),
  'random bytes': () => randomBytes(64 * 1024),
  'NUL bytes': () => Buffer.alloc(4096),
  'an HTTP/2 preface': () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'HTTP/0.9': (path) => `GET ${path}\r\n`,
  'an unknown method': (path) => `BREW ${path} HTTP/1.1\r\n${TUS}\r\n`,
  'no Host': (path) => `POST ${path} HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 1\r\n\r\n`,
  'a hostile Host': (path) =>
    `POST ${path} HTTP/1.1\r\nHost: a b<script>\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 1\r\n\r\n`,
  'two lengths': (path) =>
    `PATCH ${path}/x HTTP/1.1\r\n${TUS}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`,
  'a length and chunks': (path) =>
    `PATCH ${path}/x HTTP/1.1\r\n${TUS}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`,
  'a negative length': (path) => `POST ${path} HTTP/1.1\r\n${TUS}Content-Length: -1\r\n\r\n`,
  'a length beyond all numbers': (path) =>
    `POST ${path} HTTP/1.1\r\n${TUS}Content-Length: ${'9'.repeat(40)}\r\n\r\n`,
  'chunks that lie': (path) =>
    `POST ${path} HTTP/1.1\r\n${TUS}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n`,
  'chunks of letters': (path) =>
    `POST ${path} HTTP/1.1\r\n${TUS}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n`,
  'an unknown coding': (path) => `POST ${path} HTTP/1.1\r\n${TUS}Transfer-Encoding: gzip\r\n\r\nabc`,
  'trailers without end': (path) =>
    `POST ${path} HTTP/1.1\r\n${TUS}Transfer-Encoding: chunked\r\n\r\n0\r\n${'A: b\r\n'.repeat(5000)}`,
  'a header without end': (path) => `GET ${path} HTTP/1.1\r\n${TUS}A: ${'a'.repeat(300_000)}`,
  'a thousand headers': (path) => `GET ${path} HTTP/1.1\r\n${TUS}${'A: b\r\n'.repeat(3000)}\r\n`,
  'an address without end': () => `GET /${'a'.repeat(300_000)} HTTP/1.1\r\n${TUS}\r\n`,
  'a broken address': () => `GET http://[ HTTP/1.1\r\n${TUS}\r\n`,
  'a broken escape': (path) => `GET ${path}/%E0%A4%A HTTP/1.1\r\n${TUS}\r\n`,
  'a climbing address': (path) => `GET ${path}/../../../../etc/passwd HTTP/1.1\r\n${TUS}\r\n`,
  'two slashes and a bracket': () => `GET //[ HTTP/1.1\r\n${TUS}\r\n`,
  'OPTIONS *': () => `OPTIONS * HTTP/1.1\r\n${TUS}\r\n`,
  CONNECT: () => `CONNECT 127.0.0.1:1 HTTP/1.1\r\n${TUS}\r\n`,
  'CONNECT without a port': () => `CONNECT [ HTTP/1.1\r\n${TUS}\r\n`,
  'an upgrade': (path) =>
    `GET ${path} HTTP/1.1\r\n${TUS}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nrest`,
  'an upgrade to h2c': (path) =>
    `POST ${path} HTTP/1.1\r\n${TUS}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n`,
  'an expectation nobody meets': (path) =>
    `POST ${path} HTTP/1.1\r\n${TUS}Expect: 200-ok\r\nUpload-Length: 1\r\n\r\n`,
  'a continue for a body that never comes': (path) =>
    `POST ${path} HTTP/1.1\r\n${TUS}Expect: 100-continue\r\nUpload-Length: 9\r\nContent-Length: 9\r\nContent-Type: application/offset+octet-stream\r\n\r\n`,
  'an overridden method that is none': (path) =>
    `POST ${path} HTTP/1.1\r\n${TUS}X-HTTP-Method-Override: __proto__\r\n\r\n`,
  'names of prototypes': (path) =>
    `POST ${path} HTTP/1.1\r\n${TUS}Upload-Length: 1\r\nUpload-Metadata: __proto__ YQ==,constructor YQ==\r\n\r\n`,
  'a date beyond calendars': (path) =>
    `GET ${path}/00000000-0000-4000-8000-000000000000 HTTP/1.1\r\n${TUS}If-Modified-Since: 99999\r\nRange: bytes=9-0,--1\r\n\r\n`,
  'two hundred requests at once': (path) => `HEAD ${path}/x HTTP/1.1\r\n${TUS}\r\n`.repeat(200),
}

export const STRANGERS: Readonly<Record<string, HostileClient>> = Object.fromEntries(
  Object.entries(STRANGE_REQUESTS).map(([name, text]) => [
    name,
    (port, path) => says(text(path))(port, path),
  ]),
)

/** Gives the text of a request that fits the moment: a PATCH must name the offset of that moment. */
export type RequestText = () => Promise<string>

/** The requests of an upload's life, for an upload at `target`, whose offset `offset` tells. */
export function requestsOf(
  path: string,
  target: string,
  offset: () => Promise<number>,
): Readonly<Record<string, RequestText>> {
  const body = (bytes: number) =>
    `Content-Type: application/offset+octet-stream\r\nContent-Length: ${bytes}\r\n\r\n${'x'.repeat(bytes)}`
  const wrong = Buffer.alloc(20).toString('base64')
  const patch = async (headers: string) =>
    `PATCH ${target} HTTP/1.1\r\n${TUS}Upload-Offset: ${await offset()}\r\n${headers}${body(300_000)}`
  return {
    OPTIONS: async () => `OPTIONS ${path} HTTP/1.1\r\n${TUS}\r\n`,
    'a creation': async () => `POST ${path} HTTP/1.1\r\n${TUS}Upload-Length: 10\r\n\r\n`,
    'a creation with a small body': async () =>
      `POST ${path} HTTP/1.1\r\n${TUS}Upload-Length: 200000\r\n${body(200_000)}`,
    'a creation with a large body': async () =>
      `POST ${path} HTTP/1.1\r\n${TUS}Upload-Length: 3000000\r\n${body(3_000_000)}`,
    'a final': async () => `POST ${path} HTTP/1.1\r\n${TUS}Upload-Concat: final;${target} ${target}\r\n\r\n`,
    HEAD: async () => `HEAD ${target} HTTP/1.1\r\n${TUS}\r\n`,
    PATCH: () => patch(''),
    'a checked PATCH': () => patch(`Upload-Checksum: sha1 ${wrong}\r\n`),
    GET: async () => `GET ${target} HTTP/1.1\r\n${TUS}\r\n`,
    DELETE: async () => `DELETE ${path}/00000000-0000-4000-8000-000000000000 HTTP/1.1\r\n${TUS}\r\n`,
  }
}

const WAYS_OUT: Readonly<Record<string, (client: RawClient) => Promise<void>>> = {
  'resets the connection': async (client) => {
    client.reset()
    await client.closed
  },
  'closes it': async (client) => {
    client.socket.destroy()
    await client.closed
  },
  'ends its side and waits': async (client) => {
    client.socket.end()
    await client.closed
  },
  'reads the first bytes of the answer and resets': async (client) => {
    // There may be no answer to half a request: then it leaves a moment later.
    await Promise.race([
      once(client.socket, 'data'),
      client.closed,
      new Promise((resolve) => setTimeout(resolve, 20)),
    ])
    client.reset()
    await client.closed
  },
  // As a machine without power does: no byte, no end, nothing read. The connection lasts until the test is over.
  'stays and is silent': async (client) => {
    client.socket.pause()
  },
}

/** Phases of a request, as what of its head and of its body was sent. */
const PHASES: Readonly<Record<string, readonly [head: number, body: number]>> = {
  'in its headers': [0.5, 0],
  'after its headers': [1, 0],
  'in its body': [1, 0.5],
  'before the answer': [1, 1],
}

/** Every request, left in every phase, in every way. */
export function leavers(
  requests: Readonly<Record<string, RequestText>>,
): Readonly<Record<string, HostileClient>> {
  const all = Object.entries(requests).flatMap(([name, text]) =>
    Object.entries(PHASES).flatMap(([phase, shares]) =>
      Object.entries(WAYS_OUT).map(([way, leave]): [string, HostileClient] => [
        `${name}, ${phase}, ${way}`,
        async (port) => {
          const sent = shareOf(await text(), shares)
          const client = await RawClient.open(port)
          await client.say(sent)
          await leave(client)
        },
      ]),
    ),
  )
  return Object.fromEntries(all)
}

function shareOf(text: string, [ofHead, ofBody]: readonly [head: number, body: number]): string {
  const head = text.indexOf('\r\n\r\n') + 4
  return text.slice(0, head * ofHead) + text.slice(head, head + (text.length - head) * ofBody)
}
