import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { assemble } from '../../../src/upload/assemble.js'
import { concatenate } from '../../../src/upload/concatenate.js'
import { create, createWithBody } from '../../../src/upload/create.js'
import type { Engine } from '../../../src/upload/engine.js'
import { sweep } from '../../../src/upload/sweep.js'
import { terminate } from '../../../src/upload/terminate.js'
import { append, draft, finalOf, stored } from '../engine-on-disk.js'
import { KeyedBytes } from '../keyed-bytes.js'
import type { Belief } from './aftermath.js'
import type { CrashStage } from './crash-stage.js'

const KIB = 1024
const MIB = 1024 * KIB

/** What a use case is tried on, made by a node that lives, and the use case itself. */
export interface Scene extends Partial<Belief> {
  readonly act: (engine: Engine) => Promise<unknown>
  /** Where it gets interesting: earlier steps are those of other scenes. Default: at its first step. */
  readonly from?: string
}

export type MakeScene = (stage: CrashStage) => Promise<Scene>

const bytesOf = (length: number): Buffer => new KeyedBytes(randomUUID(), length).slice()

export const creating: MakeScene = async () => {
  const bytes = bytesOf(KIB)
  const wanted = draft({ length: bytes.length })
  return { contents: new Map([[wanted.id, bytes]]), act: (engine) => create(engine, wanted) }
}

/** A creation that brings the first `body` bytes of `length`. */
export function creatingWith(body: number, length: number): MakeScene {
  return async () => {
    const bytes = bytesOf(length)
    const wanted = draft({ length })
    const act = (engine: Engine) =>
      createWithBody(engine, wanted, {
        source: Readable.from([bytes.subarray(0, body)], { objectMode: false }),
        announced: body,
        expected: null,
        signal: new AbortController().signal,
      })
    return { contents: new Map([[wanted.id, bytes]]), act }
  }
}

/** An upload of `length` bytes whose first ones are acknowledged, and a PATCH with the rest. */
export function appending(first: number, length: number): MakeScene {
  return async ({ survivor }) => {
    const bytes = bytesOf(length)
    const { id } = await survivor.registry.create(draft({ length }))
    await append(survivor, id, 0, [bytes.subarray(0, first)])
    return {
      contents: new Map([[id, bytes]]),
      acknowledged: new Map([[id, first]]),
      act: (engine) => append(engine, id, first, [bytes.subarray(first)]),
    }
  }
}

/** A PATCH with so many bytes that a checkpoint is made on the way, but not the last ones: those are no checkpoint's. */
export const appendingMuch: MakeScene = async ({ survivor }) => {
  const bytes = bytesOf(36 * MIB)
  const { id } = await survivor.registry.create(draft({ length: bytes.length }))
  const pieces = function* () {
    for (let at = 0; at < 34 * MIB; at += MIB) yield bytes.subarray(at, at + MIB)
  }
  return {
    contents: new Map([[id, bytes]]),
    acknowledged: new Map([[id, 0]]),
    act: (engine) => append(engine, id, 0, pieces()),
    from: 'before checkpoint',
  }
}

interface Family {
  readonly parts: readonly string[]
  readonly final: string
  readonly contents: ReadonlyMap<string, Buffer>
  readonly acknowledged: ReadonlyMap<string, number>
  readonly finals: ReadonlyMap<string, readonly string[]>
}

/** Three complete parts, one of them empty, and the final they are for, which is not made yet. */
async function family(
  survivor: Engine,
  lengths: readonly number[] = [130 * KIB, 0, 60 * KIB],
): Promise<Family> {
  const contents = new Map<string, Buffer>()
  for (const length of lengths) {
    const bytes = bytesOf(length)
    contents.set((await stored(survivor, bytes, { kind: 'partial' })).id, bytes)
  }
  const parts = [...contents.keys()]
  const acknowledged = new Map([...contents].map(([id, { length }]) => [id, length]))
  const final = randomUUID()
  contents.set(final, Buffer.concat([...contents.values()]))
  return { parts, final, contents, acknowledged, finals: new Map([[final, parts]]) }
}

export const concatenating: MakeScene = async ({ survivor }) => {
  const kin = await family(survivor)
  return { ...kin, act: (engine) => concatenate(engine, finalOf(kin.parts, kin.final)) }
}

/** A final of such parts that is acknowledged, and the copy of it that nobody waits for. */
export function assembling(lengths?: readonly number[]): MakeScene {
  return async ({ survivor }) => {
    const kin = await family(survivor, lengths)
    await concatenate(survivor, finalOf(kin.parts, kin.final))
    const acknowledged = new Map(kin.acknowledged).set(kin.final, 0)
    return { ...kin, acknowledged, act: (engine) => assemble(engine, kin.final) }
  }
}

/** A final that waits for its last part, and the PATCH that completes both. */
export const completing: MakeScene = async ({ survivor }) => {
  const kin = await family(survivor)
  const bytes = bytesOf(90 * KIB)
  const { id } = await survivor.registry.create(draft({ kind: 'partial', length: bytes.length }))
  const parts = [id, ...kin.parts]
  const contents = new Map(kin.contents).set(id, bytes)
  contents.set(kin.final, Buffer.concat([bytes, kin.contents.get(kin.final) ?? bytes]))
  await concatenate(survivor, finalOf(parts, kin.final))
  return {
    contents,
    acknowledged: new Map(kin.acknowledged).set(id, 0).set(kin.final, 0),
    finals: new Map([[kin.final, parts]]),
    act: (engine) => append(engine, id, 0, [bytes]),
  }
}

export const terminating: MakeScene = async ({ survivor }) => {
  const bytes = bytesOf(100 * KIB)
  const { id } = await survivor.registry.create(draft({ length: bytes.length }))
  await append(survivor, id, 0, [bytes.subarray(0, KIB)])
  return {
    contents: new Map([[id, bytes]]),
    leaving: new Set([id]),
    act: (engine) => terminate(engine, id, null),
  }
}

/** A final whose assembly was begun goes away; its parts stay. */
export const terminatingFinal: MakeScene = async ({ survivor }) => {
  const kin = await family(survivor)
  await concatenate(survivor, finalOf(kin.parts, kin.final))
  const begun = await survivor.registry.takeAssembly(kin.final)
  if (begun) await survivor.registry.abandonAssembly(begun)
  return { ...kin, leaving: new Set([kin.final]), act: (engine) => terminate(engine, kin.final, null) }
}

/** A part goes away that a final waits for. */
export const terminatingPart: MakeScene = async ({ survivor }) => {
  const kin = await family(survivor)
  const missing = await survivor.registry.create(draft({ kind: 'partial', length: KIB }))
  await concatenate(survivor, finalOf([...kin.parts, missing.id], kin.final))
  const [first = ''] = kin.parts
  return {
    ...kin,
    leaving: new Set([first, kin.final]),
    act: (engine) => terminate(engine, first, null),
  }
}

/** A sweep with all it can find: a due upload with bytes, a doomed blob, and what a dead epoch left. */
export const sweeping: MakeScene = async (stage) => {
  const { survivor, schema } = stage
  const due = await stored(survivor, bytesOf(10 * KIB), { length: 20 * KIB })
  await schema.run(`update $s.uploads set expires_at = clock_timestamp() - interval '1 second'
    where id = '${due.id}'`)
  const gone = await stored(survivor, bytesOf(10 * KIB))
  await survivor.registry.terminate(gone.id, null)
  // A file whose row was never written: its maker dies with the bytes in place.
  const leave = async (engine: Engine) => {
    const blob = { id: randomUUID(), epoch: engine.registry.epoch }
    const source = Readable.from([bytesOf(KIB)], { objectMode: false })
    await survivor.bytes.write(blob, 0, source, { limit: KIB, fresh: true }).done
  }
  await stage.dieAt(Number.POSITIVE_INFINITY, leave, 'lapsed')
  return { leaving: new Set([due.id]), act: (engine) => sweep(engine) }
}
