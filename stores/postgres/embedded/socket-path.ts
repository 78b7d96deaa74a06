import { join } from 'node:path'

/** Only part of the socket's file name: nobody else has its directory. */
export const SOCKET_PORT = 5432

/** sun_path without its NUL: 108 bytes on Linux, 104 on macOS and the BSDs. */
export const SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103

/** The name is Postgres' own, and pg's. */
export function socketPath(directory: string, port: number): string {
  return join(directory, `.s.PGSQL.${port}`)
}

export function socketFits(directory: string): boolean {
  return Buffer.byteLength(socketPath(directory, SOCKET_PORT)) <= SOCKET_PATH_BYTES
}
