import { afterEach, beforeAll, beforeEach, describe, test } from 'vitest'
import type { CrashStage } from '../support/crash/crash-stage.js'
import { S3Stage } from '../support/crash/s3-stage.js'
import * as scenes from '../support/crash/scenes.js'
import { walk } from '../support/crash/walk.js'
import { lackOfS3, type S3Server, startS3 } from '../support/s3-server.js'

/**
 * Laws 2 and 4 on S3, step by step: a process dies before and after every request to the provider and every row it writes, also where
 * the request was carried out and its answer lost. Clients go on where the rows say and have their content in the end, and a
 * sweep leaves neither an object nor a multipart upload that no row knows.
 */

const KIB = 1024
const MIB = 1024 * KIB

type Named = readonly [string, scenes.MakeScene]

/** Parts have 5 MiB here, so that this is a multipart upload of two and a rest. */
const TAKEN_OVER: readonly Named[] = [
  ['a PATCH of one object', scenes.appending(150 * KIB, 400 * KIB)],
  ['a PATCH in parts', scenes.appending(MIB, 12 * MIB)],
  ['an assembly by copies', scenes.assembling([6 * MIB, 0, 5 * MIB + 300 * KIB])],
]

const SCENES: readonly Named[] = [
  ...TAKEN_OVER,
  ['a creation with its first bytes', scenes.creatingWith(100 * KIB, 300 * KIB)],
  ['an assembly through the node', scenes.assembling()],
  ['the PATCH that completes a waiting final', scenes.completing],
  ['a deletion', scenes.terminating],
  ['the deletion of a final that is being assembled', scenes.terminatingFinal],
  ['a sweep', scenes.sweeping],
]

let server: S3Server
let stage: CrashStage

beforeAll(async () => {
  server = await startS3()
  return () => server.stop()
})

beforeEach(async ({ skip }) => {
  const lack = await lackOfS3()
  if (lack !== null) skip(lack)
  stage = await S3Stage.open(server)
})

afterEach(async () => {
  await stage?.close()
})

describe('a process that is provably dead', () => {
  test.each(SCENES)('at any step of %s loses nothing', async (_name, makeScene) => {
    await walk(stage, makeScene, 'buried')
  })
})

describe('a process that is silent', () => {
  test.each(TAKEN_OVER)('from any step of %s on loses nothing', async (_name, makeScene) => {
    await walk(stage, makeScene, 'lapsed')
  })
})
