import { curl, expectStatus } from '../load/curl.mjs'
import { create, patch } from '../load/tus.mjs'

const MIB = 1024 * 1024

export const oneStream = {
  name: 'one-stream',
  title: ({ bytes }) => `One stream: ${bytes / MIB} MiB in one request`,
  notes:
    'curl sends a file in one PATCH (PUT to nginx and the sink). Its own clock counts; the creation before it does not.',
  unit: 'MiB/s',
  better: 'more',
  profiles: true,
  needs: ['curl'],
  fills: ({ bytes }) => bytes,
  sizes: { smoke: { warmUp: 16 * MIB, bytes: 64 * MIB }, full: { warmUp: 256 * MIB, bytes: 1024 * MIB } },
  peers: ['tributary', 'tributary-strict', 'tusd', 'rustus', 'tus-server', 'nginx', 'sink', 'dd'],

  /** Not as it starts: see creations. */
  async warm({ peer, running, size: { warmUp }, files }) {
    if (!peer.speaks.has('file')) await send(peer.speaks, running, await files.random(warmUp), warmUp)
  },

  async measure({ peer, running, size: { bytes }, files }) {
    const seconds = await send(peer.speaks, running, await files.random(bytes), bytes)
    return { value: bytes / MIB / seconds, bytes }
  },

  targets: [
    { peer: 'tributary', than: 'tus-server', atLeast: 3, says: 'one stream: 3 times @tus/server' },
    { peer: 'tributary', than: 'tusd', atLeast: 1.1, says: 'one stream: 1.1 times tusd' },
    { peer: 'tributary', than: 'sink', atLeast: 0.9, says: 'one stream: 0.9 times the bare sink' },
  ],
}

async function send(speaks, running, file, bytes) {
  if (speaks.has('file')) return running.copy(file)
  if (speaks.has('put')) return put(running.url, file)
  return patch(await create(running.url, bytes), file, bytes)
}

async function put(url, file) {
  const answer = await curl({ method: 'PUT', url: `${url}/stream`, file })
  return expectStatus(answer, 200, 201, 204).seconds
}
