import { setTimeout as sleep } from 'node:timers/promises'
import type { FragoAnswer, FragoClient } from './frago-client.js'
import type { Ledger, Piece, Region } from './ledger.js'

/** What one client may do to a region nobody else is at. Resolves with false when there is nothing to do it to. */
export type Action = (scene: Scene) => Promise<boolean>

export interface Scene {
  readonly client: FragoClient
  readonly ledger: Ledger
  readonly region: Region
  readonly random: () => number
}

/** So many versions of the file there are. */
const VERSIONS = 3

/** By how often they are wanted. */
export const ACTIONS: readonly Action[] = [
  ...Array<Action>(8).fill(fill),
  ...Array<Action>(2).fill(repeat),
  ...Array<Action>(3).fill(replace),
  ...Array<Action>(2).fill(resize),
  ...[overlap, rivals, leave, sendLess, finishTooSoon],
]

/** Sends what is missing, all of a gap or the beginning of it. */
async function fill(scene: Scene): Promise<boolean> {
  const { ledger, region, random } = scene
  const gaps = ledger.gapsIn(region)
  const gap = gaps[Math.floor(random() * gaps.length)]
  if (gap === undefined) return false
  const stop = random() < 0.8 ? gap.stop : between(gap.start + 1, gap.stop, random)
  await store(scene, gap.start, stop, versionFrom(random))
  return true
}

/** The same bytes once more. */
async function repeat(scene: Scene): Promise<boolean> {
  return withPiece(scene, ({ start, stop, versions: [version = 0] }) => store(scene, start, stop, version))
}

/** The same place, perhaps with other bytes. */
async function replace(scene: Scene): Promise<boolean> {
  return withPiece(scene, ({ start, stop }) => store(scene, start, stop, versionFrom(scene.random)))
}

/** From the same byte on, but shorter; or longer, where there is room. */
async function resize(scene: Scene): Promise<boolean> {
  return withPiece(scene, ({ start, stop }) => {
    const gap = scene.ledger.gapsIn(scene.region).find((each) => each.start === stop)
    const last = gap !== undefined && scene.random() < 0.7 ? gap.stop : stop
    return store(scene, start, between(start + 1, last, scene.random), versionFrom(scene.random))
  })
}

/** Into the middle of what is there. */
async function overlap(scene: Scene): Promise<boolean> {
  return withPiece(scene, async ({ start, stop }) => {
    if (stop - start < 2) return
    const { client, ledger, random } = scene
    const from = between(start + 1, stop - 1, random)
    const answer = await client.put(ledger.upload, ledger.chunk(from, stop), () =>
      ledger.bytes(0, from, stop),
    )
    expectStatus(answer, 409)
  })
}

/** Two chunks for one place at once. */
async function rivals(scene: Scene): Promise<boolean> {
  const { client, ledger, region } = scene
  const place = ledger.gapsIn(region)[0] ?? ledger.piecesIn(region)[0]
  if (place === undefined) return false
  const { start, stop } = place
  const sent = [ledger.send(start, stop, 0), ledger.send(start, stop, 1)]
  const answers = await Promise.allSettled(
    sent.map(({ version }) =>
      client.put(ledger.upload, ledger.chunk(start, stop), () => ledger.bytes(version, start, stop)),
    ),
  )
  for (const answer of answers) if (answer.status === 'fulfilled') expectStatus(answer.value, 200)
  ledger.storedEither(
    sent,
    sent.filter((_, index) => answers[index]?.status === 'fulfilled'),
  )
  for (const answer of answers) if (answer.status === 'rejected') throw answer.reason
  return true
}

/** Says that there is more than it sends, and hangs up. */
async function leave({ client, ledger, region, random }: Scene): Promise<boolean> {
  const place = ledger.gapsIn(region)[0] ?? ledger.piecesIn(region)[0]
  if (place === undefined) return false
  const { start, stop } = place
  const some = Buffer.concat([...ledger.bytes(2, start, between(start, stop - 1, random))])
  await client.putAndLeave(ledger.upload, ledger.chunk(start, stop), some)
  return true
}

/** A chunk of another size than it says. */
async function sendLess({ client, ledger, region }: Scene): Promise<boolean> {
  const place = ledger.gapsIn(region)[0] ?? ledger.piecesIn(region)[0]
  if (place === undefined || place.stop - place.start < 2) return false
  const { start, stop } = place
  const bytes = ledger.bytes(2, start, stop - 1)
  const answer = await client.putOnce(ledger.upload, ledger.chunk(start, stop), bytes, stop - start - 1)
  if (answer.status !== 423) expectStatus(answer, 400)
  return true
}

/** Nothing hashes to it, so whatever is there stays as it is. */
async function finishTooSoon({ client, ledger }: Scene): Promise<boolean> {
  expectStatus(await client.finalize(ledger.upload, '0'.repeat(32)), 400)
  return true
}

/** Makes a chunk part of the upload. */
export async function store(
  { client, ledger }: Pick<Scene, 'client' | 'ledger'>,
  start: number,
  stop: number,
  version: number,
): Promise<void> {
  const sent = ledger.send(start, stop, version)
  const answer = await client.put(ledger.upload, ledger.chunk(start, stop), () =>
    ledger.bytes(version, start, stop),
  )
  expectStatus(answer, 200)
  ledger.stored(sent, answer.body.duplicate === true)
}

/** A client that does what comes to its mind, until the server is killed. */
export async function actUntilDoom(scene: Omit<Scene, 'region'>): Promise<void> {
  const { client, ledger, random } = scene
  while (!client.isDoomed) {
    const free = ledger.regions.filter(({ busy }) => !busy)
    const region = free[Math.floor(random() * free.length)]
    const action = ACTIONS[Math.floor(random() * ACTIONS.length)]
    if (region === undefined || action === undefined) throw new Error('there is nothing to do')
    region.busy = true
    try {
      if (!(await action({ ...scene, region }))) await sleep(0)
    } finally {
      region.busy = false
    }
  }
}

async function withPiece(scene: Scene, act: (piece: Piece) => Promise<void>): Promise<boolean> {
  const pieces = scene.ledger.piecesIn(scene.region)
  const piece = pieces[Math.floor(scene.random() * pieces.length)]
  if (piece === undefined) return false
  await act(piece)
  return true
}

function versionFrom(random: () => number): number {
  return Math.floor(random() * VERSIONS)
}

function between(least: number, most: number, random: () => number): number {
  return least + Math.floor(random() * (most - least + 1))
}

function expectStatus({ status, body }: FragoAnswer, expected: number): void {
  if (status === expected) return
  throw new Error(`${expected} was expected, not ${status} ${JSON.stringify(body)}`)
}
