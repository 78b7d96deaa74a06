import type { Engine } from './engine.js'
import { busy } from './errors.js'
import { patiently } from './patience.js'
import type { Claim, ClaimRequest, FoundUpload } from './ports.js'
import type { UploadId } from './upload.js'

/** Between two looks at a holder that was asked to yield: its answer usually comes first, by notification. */
const LOOK_AGAIN_MS = 500

/**
 * Claims a range, asking a living holder to hand it back and waiting for that, or for its lease to lapse, up to the
 * engine's patience. Throws `upload_busy` after that, and whatever `UploadRegistry.claim` throws.
 */
export async function takeClaim(engine: Engine, request: ClaimRequest): Promise<Claim> {
  const claim = await untilFree(engine, request, () => engine.registry.claim(request))
  if (claim === null) throw busy()
  return claim
}

/** Gives a claim up without new bytes. Never throws. */
export async function handBack(engine: Engine, claim: Claim): Promise<void> {
  try {
    await patiently(() => engine.registry.release(claim))
  } catch (error) {
    // The registry has forgotten it: it goes back as an orphan's, or with the lease, and the next writer takes over.
    engine.log.warn({ err: error, upload: claim.uploadId }, 'a claim could not be handed back')
  }
}

/**
 * Looks an upload up; when a writer of the given protocol holds it, asks for a hand-back first, so that the offset
 * answered is the one the next write must carry. Null when it is not there. Throws `upload_busy`.
 */
export async function findAtRest(
  engine: Engine,
  id: UploadId,
  owner: string | null,
): Promise<FoundUpload | null> {
  let missing = false
  const found = await untilFree(
    engine,
    { id, start: 0, stop: null },
    async () => {
      const seen = await engine.registry.find(id, owner)
      missing = seen === null
      // Chunks of a frago upload arrive side by side and need no common offset: nobody has to stop for a look.
      return seen?.held && seen.upload.protocol === 'tus' ? null : seen
    },
    () => missing,
  )
  if (found === null && !missing) throw busy()
  return found
}

async function untilFree<T>(
  engine: Engine,
  { id, start, stop }: Pick<ClaimRequest, 'id' | 'start' | 'stop'>,
  attempt: () => Promise<T | null>,
  settled: () => boolean = () => false,
): Promise<T | null> {
  const deadline = performance.now() + engine.policy.patience
  for (;;) {
    const result = await attempt()
    if (result !== null || settled()) return result
    const left = deadline - performance.now()
    if (left <= 0) return null
    // Listening begins before asking, or the answer could come in between and be missed.
    const handedBack = engine.registry.handedBack(id, Math.min(left, LOOK_AGAIN_MS))
    // Nobody to ask: it was handed back since the attempt, and nobody will say so again.
    if (await engine.registry.askToYield(id, start, stop)) await handedBack
  }
}
