import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { assemble } from '../../src/upload/assemble.js'
import { Background } from '../../src/upload/background.js'
import { concatenate } from '../../src/upload/concatenate.js'
import { content } from '../../src/upload/content.js'
import { AssemblyStage, type StageNode } from '../support/assembly-stage.js'
import { finalOf, stored } from '../support/engine-on-disk.js'
import { holdWrite } from '../support/held-calls.js'
import { KeyedBytes } from '../support/keyed-bytes.js'
import { reportEveryBlock } from '../support/report-every-block.js'

/** Making one file of a final, while all kinds of things happen to it: on a real database and a real disk. */

const KIB = 1024
const MIB = 1024 * KIB

let stage: AssemblyStage
let node: StageNode

beforeEach(async () => {
  stage = await AssemblyStage.open()
  node = await stage.node()
})

afterEach(async () => {
  vi.restoreAllMocks()
  await stage.close()
})

describe('an assembly', () => {
  test('leaves one blob, to which the final and all its parts refer, and nothing else', async () => {
    const made = await stage.waitingFinal(node, [100 * KIB, 0, 150 * KIB])
    const assembled = vi.fn()
    node.engine.events.on('upload_assembled', assembled)
    expect(await assemble(node.engine)).toBe(true)
    const [blob, ...more] = await stage.blobsOf(made.final)
    expect(more).toEqual([])
    for (const part of made.parts) {
      const length = made.contents.get(part)?.length
      expect(await stage.blobsOf(part)).toEqual(length === 0 ? [] : [blob])
    }
    await stage.expectContents(node, made)
    expect(assembled).toHaveBeenCalledTimes(1)
    expect(await assemble(node.engine)).toBe(false)
    await stage.expectTidy(node, 'after the assembly')
  })

  test('of a part that stands twice', async () => {
    const bytes = new KeyedBytes('twice', 90 * KIB).slice()
    const part = await stored(node.engine, bytes, { kind: 'partial' })
    const { upload } = await concatenate(node.engine, finalOf([part.id, part.id]))
    expect(await assemble(node.engine)).toBe(true)
    const contents = new Map([
      [part.id, bytes],
      [upload.id, Buffer.concat([bytes, bytes])],
    ])
    await stage.expectContents(node, { final: upload.id, parts: [part.id], contents })
    await stage.expectTidy(node, 'after the assembly')
  })

  test('is done once, whoever tries it', async () => {
    const made = await stage.waitingFinal(node, [100 * KIB, 100 * KIB])
    const others = await Promise.all([stage.node(), stage.node(), stage.node()])
    const tries = [node, ...others].map(({ engine }) => assemble(engine))
    expect((await Promise.all(tries)).filter(Boolean)).toHaveLength(1)
    await stage.expectContents(node, made)
    await stage.expectTidy(node, 'after the assembly')
  })
})

describe('a reader of the parts', () => {
  test.each([0, 200 * KIB])('goes on at the same byte when they are replaced (from %i)', async (start) => {
    const made = await stage.waitingFinal(node, [700 * KIB, 2 * MIB, 300 * KIB])
    const whole = made.contents.get(made.final) ?? Buffer.alloc(0)
    const source = content(node.engine, made.final, null, { start, stop: whole.length })
    const reading = source[Symbol.asyncIterator]()
    const first = (await reading.next()) as IteratorResult<Buffer, undefined>
    const old = await stage.blobsOf(made.final)
    expect(await assemble(node.engine)).toBe(true)
    const [blob] = await stage.blobsOf(made.final)
    expect(old).not.toContain(blob)
    await stage.expectTidy(node, 'while a reader was at the old blobs')
    const pieces = first.done ? [] : [first.value]
    for await (const piece of { [Symbol.asyncIterator]: () => reading }) pieces.push(piece as Buffer)
    expect(whole.subarray(start).equals(Buffer.concat(pieces))).toBe(true)
  })
})

describe('whoever takes over', () => {
  /** An assembler that got some way, and is held at its third block. */
  async function frozenAssembler() {
    const made = await stage.waitingFinal(node, [200 * KIB, 150 * KIB])
    const held = holdWrite(3)
    const frozen = await stage.node({ fs: reportEveryBlock(held.fs) })
    const done = assemble(frozen.engine)
    await held.reached
    const before = await stage.assembly(made.final)
    expect(before?.copied).toBeGreaterThan(0)
    return { made, held, frozen, done, before }
  }

  test('from a frozen node makes a copy of its own, which the thawed one does not touch', async () => {
    const { made, held, frozen, done, before } = await frozenAssembler()
    await stage.lapse(frozen)
    expect(await assemble(node.engine)).toBe(true)
    const [blob] = await stage.blobsOf(made.final)
    expect(blob).not.toBe(before?.target)
    held.release()
    await done
    await stage.expectContents(node, made)
    await stage.expectTidy(node, 'after the frozen node had thawed')
  })

  test('from a frozen node begins at its first byte', async () => {
    const { made, held, frozen, done, before } = await frozenAssembler()
    await stage.lapse(frozen)
    const taken = await node.engine.registry.takeAssembly(made.final)
    expect(taken).toMatchObject({ copied: 0 })
    expect(taken?.target.id).not.toBe(before?.target)
    held.release()
    await done
  })

  test('from a dead process of the same machine goes on with its copy', async () => {
    const { made, held, frozen, done, before } = await frozenAssembler()
    await stage.bury(frozen)
    const taken = await node.engine.registry.takeAssembly(made.final)
    expect(taken).toMatchObject({ copied: before?.copied, target: { id: before?.target } })
    held.release()
    await done
  })

  test('from a node that stopped in order goes on with its copy', async () => {
    const made = await stage.waitingFinal(node, [200 * KIB, 150 * KIB])
    const held = holdWrite(3)
    const first = await stage.node({ fs: reportEveryBlock(held.fs) })
    const stopping = new AbortController()
    const done = assemble(first.engine, undefined, stopping.signal)
    await held.reached
    stopping.abort()
    held.release()
    expect(await done).toBe(true)
    const before = await stage.assembly(made.final)
    expect(before?.copied).toBeGreaterThan(0)
    expect(await assemble(node.engine, made.final)).toBe(true)
    expect(await stage.blobsOf(made.final)).toEqual([before?.target])
    await stage.expectContents(node, made)
    await stage.expectTidy(node, 'after the assembly went on')
  })
})

describe('ASSEMBLY', () => {
  test('inline: the final is one blob when it is answered', async () => {
    const inline = await stage.node({ policy: { assembly: 'inline' } })
    const made = await stage.waitingFinal(inline, [100 * KIB, 150 * KIB])
    expect(await stage.blobsOf(made.final)).toHaveLength(1)
    await stage.expectContents(node, made)
    await stage.expectTidy(node, 'after the final was answered')
  })

  test('never: the final is read from its parts, until another node assembles it', async () => {
    const never = await stage.node({ policy: { assembly: 'never' } })
    const idle = new Background(never.engine, { sweepEvery: 60_000, assembleEvery: 1 })
    idle.start()
    const made = await stage.waitingFinal(never, [100 * KIB, 150 * KIB])
    await idle.stop()
    expect(await stage.blobsOf(made.final)).toHaveLength(2)
    await stage.expectContents(node, made)
    const assembled = new Promise<void>((resolve) => {
      node.engine.events.on('upload_assembled', () => resolve())
    })
    const busy = new Background(node.engine, { sweepEvery: 60_000, assembleEvery: 60_000 })
    busy.start()
    await assembled
    await busy.stop()
    expect(await stage.blobsOf(made.final)).toHaveLength(1)
    await stage.expectContents(node, made)
    await stage.expectTidy(node, 'after the other node assembled it')
  })

  test('background: a final is assembled without being asked for', async () => {
    const background = new Background(node.engine, { sweepEvery: 60_000, assembleEvery: 60_000 })
    background.start()
    const assembled = new Promise<void>((resolve) => {
      node.engine.events.on('upload_assembled', () => resolve())
    })
    const made = await stage.waitingFinal(node, [100 * KIB, 150 * KIB])
    await assembled
    await background.stop()
    expect(await stage.blobsOf(made.final)).toHaveLength(1)
    await stage.expectContents(node, made)
  })
})
