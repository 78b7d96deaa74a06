import { createHash, randomUUID } from 'node:crypto'
import { KeyedBytes } from '../keyed-bytes.js'
import type { Answer } from '../raw-tus.js'
import type { Client } from './client.js'
import { digestOf } from './content.js'
import type { AskedFinal, Entry, Journal } from './journal.js'

const KIB = 1024
const MIB = 1024 * KIB

const PATCH = { 'Content-Type': 'application/offset+octet-stream' }

/** What one client may do. Each returns false when there is nothing to do it to. */
export type Action = (client: Client, journal: Journal, random: () => number) => Promise<boolean>

/** By how often they are wanted. */
export const ACTIONS: readonly Action[] = [
  ...Array<Action>(3).fill(createEmpty),
  ...Array<Action>(3).fill(createWithBytes),
  ...Array<Action>(8).fill(append),
  ...Array<Action>(2).fill(appendChecked),
  ...Array<Action>(4).fill(askForFinal),
  ...Array<Action>(2).fill(download),
  ...Array<Action>(2).fill(remove),
]

async function createEmpty(client: Client, journal: Journal, random: () => number): Promise<boolean> {
  const { bytes, kind, headers } = newUpload(random)
  const answer = expectStatus(await client.send(null, { method: 'POST', headers }), 201)
  journal.addPlain(idIn(answer), kind, bytes, 0)
  return true
}

/** Creation with upload: small bodies are stored before their row, large ones after. */
async function createWithBytes(client: Client, journal: Journal, random: () => number): Promise<boolean> {
  const { bytes, kind, headers } = newUpload(random)
  const length = Math.ceil(random() * bytes.length)
  if (length === 0) return false
  const answer = await client.send(null, {
    ...{ method: 'POST', headers: { ...headers, ...PATCH }, length },
    body: bytes.pieces(0, length),
  })
  journal.addPlain(idIn(expectStatus(answer, 201)), kind, bytes, offsetIn(answer))
  return true
}

async function append(client: Client, journal: Journal, random: () => number): Promise<boolean> {
  return withEntry(journal, random, isOpenPlain, async (entry, bytes) => {
    const start = entry.acknowledged
    const stop = random() < 0.6 ? bytes.length : start + Math.ceil(random() * (bytes.length - start))
    entry.sent = start
    const answer = await client.send(entry.id, {
      ...{ method: 'PATCH', headers: { ...PATCH, 'Upload-Offset': String(start) } },
      ...{ body: bytes.pieces(start, stop), length: stop - start },
      onSent: (count) => {
        entry.sent += count
      },
    })
    acknowledge(entry, offsetIn(expectStatus(answer, 204)))
  })
}

/** Nothing of these bytes counts before all of them are there. */
async function appendChecked(client: Client, journal: Journal, random: () => number): Promise<boolean> {
  return withEntry(journal, random, isOpenPlain, async (entry, bytes) => {
    const start = entry.acknowledged
    const stop = Math.min(bytes.length, start + Math.ceil(random() * MIB))
    const body = bytes.slice(start, stop)
    const checksum = `sha1 ${createHash('sha1').update(body).digest('base64')}`
    const answer = await client.send(entry.id, {
      method: 'PATCH',
      headers: { ...PATCH, 'Upload-Offset': String(start), 'Upload-Checksum': checksum },
      body: [body],
      length: body.length,
    })
    acknowledge(entry, offsetIn(expectStatus(answer, 204)))
  })
}

async function askForFinal(client: Client, journal: Journal, random: () => number): Promise<boolean> {
  const parts = journal.living.filter(({ kind, state }) => kind === 'partial' && state !== 'leaving')
  if (parts.length === 0) return false
  const chosen = Array.from({ length: 1 + Math.floor(random() * 5) }, () => pick(parts, random))
  const asked = { parts: chosen, metadata: `name ${Buffer.from(randomUUID()).toString('base64')}` }
  journal.asked.push(asked)
  await repeatFinal(client, journal, asked)
  return true
}

/** Asks for a final, for the first time or again; until it is answered it stays in the journal as asked for. */
export async function repeatFinal(client: Client, journal: Journal, asked: AskedFinal): Promise<string> {
  const parts = asked.parts.map(({ id }) => new URL(`${client.endpoint}/${id}`).pathname)
  const headers = { 'Upload-Concat': `final;${parts.join(' ')}`, 'Upload-Metadata': asked.metadata }
  const answer = expectStatus(await client.send(null, { method: 'POST', headers }), 201)
  journal.asked = journal.asked.filter((each) => each !== asked)
  return journal.addFinal(idIn(answer), asked.parts).id
}

async function download(client: Client, journal: Journal, random: () => number): Promise<boolean> {
  return withEntry(
    journal,
    random,
    ({ state }) => state === 'complete',
    async (entry) => {
      await expectDownload(client, entry)
    },
  )
}

export async function expectDownload(client: Client, entry: Entry): Promise<void> {
  if ((await client.digest(entry.id)) === digestOf(entry.content)) return
  throw new Error(`the ${entry.kind} ${entry.id} has other bytes than were sent`)
}

/** Parts go too, once their finals do not wait for them. */
async function remove(client: Client, journal: Journal, random: () => number): Promise<boolean> {
  const isFree = (entry: Entry) => journal.living.length > 20 && !journal.isAwaited(entry)
  return withEntry(journal, random, isFree, async (entry) => {
    entry.state = 'leaving'
    expectStatus(await client.send(entry.id, { method: 'DELETE' }), 204)
    entry.state = 'gone'
  })
}

function newUpload(random: () => number) {
  const kind = random() < 0.7 ? ('partial' as const) : ('whole' as const)
  const most = random() < 0.7 ? 300 * KIB : 5 * MIB
  const bytes = new KeyedBytes(randomUUID(), random() < 0.05 ? 0 : Math.ceil(random() * most))
  const concat = kind === 'partial' && { 'Upload-Concat': 'partial' }
  return { kind, bytes, headers: { 'Upload-Length': String(bytes.length), ...concat } }
}

function isOpenPlain({ kind, state }: Entry): boolean {
  return kind !== 'final' && state === 'open'
}

async function withEntry(
  journal: Journal,
  random: () => number,
  fits: (entry: Entry) => boolean,
  act: (entry: Entry, bytes: KeyedBytes) => Promise<void>,
): Promise<boolean> {
  const entries = journal.living.filter((entry) => !entry.busy && entry.state !== 'leaving' && fits(entry))
  if (entries.length === 0) return false
  const entry = pick(entries, random)
  entry.busy = true
  try {
    await act(entry, entry.bytes ?? new KeyedBytes('', 0))
    return true
  } finally {
    entry.busy = false
  }
}

export function acknowledge(entry: Entry, offset: number): void {
  if (offset < entry.acknowledged) {
    throw new Error(`${entry.id} was at ${entry.acknowledged}, and now it is at ${offset}`)
  }
  entry.acknowledged = offset
  if (offset === entry.content.length) entry.state = 'complete'
}

function expectStatus(answer: Answer, status: number): Answer {
  if (answer.status === status) return answer
  throw new Error(`${status} was expected, not ${answer.status}: ${answer.body}`)
}

function idIn(answer: Answer): string {
  return answer.headers.location?.split('/').at(-1) ?? ''
}

function offsetIn(answer: Answer): number {
  return Number(answer.headers['upload-offset'])
}

function pick<T>(from: readonly T[], random: () => number): T {
  const chosen = from[Math.floor(random() * from.length)]
  if (chosen === undefined) throw new Error('there is nothing to choose from')
  return chosen
}
