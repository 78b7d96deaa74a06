import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, type GenerateKeyPairResult, generateKeyPair, type JWK, SignJWT } from 'jose'

/** An identity provider: keys it signs with, and a JSON Web Key Set of their public halves on a local port. */
export class KeySetServer {
  readonly url: string
  readonly #http: Server
  readonly #pairs = new Map<string, GenerateKeyPairResult>()
  #published: JWK[] = []
  #named = true
  /** Requests for the set so far. */
  asked = 0
  /** What is answered instead of the set. */
  trouble: { readonly status: number; readonly body: string } | null = null

  private constructor(http: Server) {
    this.#http = http
    this.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/jwks.json`
  }

  static async open(...algorithms: readonly string[]): Promise<KeySetServer> {
    const http = createServer((_request, response) => {
      server.asked++
      const { status, body } = server.trouble ?? {
        status: 200,
        body: JSON.stringify({ keys: server.#published }),
      }
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(body)
    })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    const server = new KeySetServer(http)
    for (const algorithm of algorithms) await server.addKey(algorithm)
    return server
  }

  /** A key of this kind, named like it and published. */
  async addKey(algorithm: string, name = algorithm): Promise<void> {
    const pair = await generateKeyPair(algorithm, { extractable: true })
    this.#pairs.set(name, pair)
    this.#published.push({ ...(await exportJWK(pair.publicKey)), kid: name })
  }

  /** Keys have no names from now on, neither in the set nor in tokens. */
  forgetNames(): void {
    this.#named = false
    this.#published = this.#published.map(({ kid: _kid, ...key }) => key)
  }

  /** The public half as JSON text: what a forger knows. */
  publicText(name: string): string {
    return JSON.stringify(this.#published.find(({ kid }) => kid === name))
  }

  async sign(algorithm: string, claims: Record<string, unknown>, key = algorithm): Promise<string> {
    const pair = this.#pairs.get(key)
    if (pair === undefined) throw new Error(`There is no key ${key}.`)
    return new SignJWT(claims)
      .setProtectedHeader({ alg: algorithm, ...(this.#named && { kid: key }) })
      .sign(pair.privateKey)
  }

  async close(): Promise<void> {
    this.#http.closeAllConnections()
    await new Promise<void>((resolve) => this.#http.close(() => resolve()))
  }
}

/** A JWT signed with a secret. */
export async function signWithSecret(
  secret: string,
  claims: Record<string, unknown>,
  algorithm = 'HS256',
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: algorithm }).sign(new TextEncoder().encode(secret))
}

/** A JWT with these parts and whatever signature. */
export function unsigned(header: object, claims: object, signature = ''): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part(header)}.${part(claims)}.${signature}`
}
