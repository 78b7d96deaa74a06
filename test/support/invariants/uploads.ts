import {
  byUpload,
  type ClaimFacts,
  type DigestFacts,
  type ExtentFacts,
  type PartFacts,
  type RangeFacts,
  type Snapshot,
  type UploadFacts,
} from './snapshot.js'

interface Facts {
  readonly upload: UploadFacts
  readonly ranges: readonly RangeFacts[]
  readonly extents: readonly ExtentFacts[]
  readonly claims: readonly ClaimFacts[]
  readonly parts: readonly PartFacts[]
  readonly digests: readonly DigestFacts[]
  /** Its bytes were let go, since its published file is the only copy. */
  readonly released: boolean
}

type Complain = (sentence: string) => void

/** What the rows of each upload say that cannot be true together. */
export function brokenUploads(snapshot: Snapshot): readonly string[] {
  const broken: string[] = []
  const rangesOf = byUpload(snapshot.received)
  const extentsOf = byUpload(snapshot.extents)
  const claimsOf = byUpload(snapshot.claims)
  const partsOf = byUpload(snapshot.parts.map((part) => ({ ...part, upload_id: part.final_id })))
  const digestsOf = byUpload(snapshot.digests)
  const released = new Set(
    snapshot.publications.filter((each) => each.released_at !== null).map((each) => each.upload_id),
  )
  for (const upload of snapshot.uploads) {
    const complain = (sentence: string) =>
      broken.push(`${upload.status} ${upload.kind} ${upload.id}: ${sentence}`)
    const { id } = upload
    const facts = {
      upload,
      ranges: rangesOf(id),
      extents: extentsOf(id),
      claims: claimsOf(id),
      parts: partsOf(id),
      digests: digestsOf(id),
      released: released.has(id),
    }
    checkRanges(facts, complain)
    checkExtents(facts, complain)
    checkStatus(facts, complain)
    checkClaims(facts, complain)
    checkParts(facts, snapshot, complain)
    checkChunks(facts, complain)
  }
  return broken
}

function checkRanges({ upload, ranges }: Facts, complain: Complain): void {
  let end = 0
  for (const { start, stop } of ranges) {
    if (start < end) complain(`received [${start}, ${stop}) overlaps what ends at ${end}`)
    end = stop
  }
  if (upload.length !== null && end > upload.length) complain(`received to ${end}, past ${upload.length}`)
  if (upload.protocol === 'tus' && (ranges.length > 1 || (ranges[0]?.start ?? 0) !== 0)) {
    complain('a tus upload must have one received range, from 0 on')
  }
}

function checkExtents({ upload, ranges, extents }: Facts, complain: Complain): void {
  let end: number | null = 0
  for (const extent of extents) {
    if (extent.start !== end) complain(`an extent begins at ${extent.start} where ${end} ends`)
    end = extent.stop
  }
  const last = ranges.at(-1)?.stop ?? 0
  if (end !== null && end < last) complain(`extents end at ${end}, received bytes at ${last}`)
  if (end !== null && upload.length !== null && end > upload.length) complain(`extents end at ${end}`)
}

function checkStatus({ upload, ranges, extents, parts, released }: Facts, complain: Complain): void {
  const gapless = gaplessEnd(ranges)
  if (upload.status === 'complete') {
    if (upload.length === null) complain('complete without a length')
    else if (released && ranges.length + extents.length > 0) complain('let go of its bytes, and has some')
    else if (!released && gapless !== upload.length)
      complain(`complete at ${upload.length}, but a gap begins at ${gapless}`)
    if (upload.completed_at === null) complain('complete without a time')
  }
  // A checkpoint never records the last byte, and `record` completes in the statement that does.
  const full = upload.length !== null && gapless === upload.length
  if (upload.status === 'in_progress' && upload.protocol === 'tus' && upload.kind !== 'final' && full) {
    complain('has every byte and is not complete')
  }
  if (upload.status === 'expired' && ranges.length + extents.length > 0) complain('expired, with bytes')
  if (upload.kind === 'final' && upload.status === 'in_progress' && ranges.length + extents.length > 0) {
    complain('waits for parts, with bytes')
  }
  if ((upload.kind === 'final') !== parts.length > 0) complain(`has ${parts.length} parts`)
}

function checkClaims({ upload, ranges, claims }: Facts, complain: Complain): void {
  if (upload.protocol === 'tus' && claims.length > 1) complain(`has ${claims.length} claims`)
  if (claims.length > 0 && (upload.status !== 'in_progress' || upload.kind === 'final')) {
    complain('is claimed')
  }
  for (const claim of claims) {
    // What was recorded when it was granted only grew since.
    if (upload.protocol === 'tus' && claim.start > gaplessEnd(ranges)) {
      complain(`claim ${claim.token} begins at ${claim.start}, received bytes end at ${gaplessEnd(ranges)}`)
    }
  }
}

function checkParts({ upload, parts }: Facts, snapshot: Snapshot, complain: Complain): void {
  if (upload.kind !== 'final') return
  for (const [index, part] of parts.entries()) {
    if (part.position !== index + 1) complain(`part ${index + 1} has position ${part.position}`)
    if ((upload.status === 'complete') !== (part.start !== null))
      complain(`part ${index + 1} at ${part.start}`)
  }
  const statuses = parts.map(({ part_id }) => snapshot.uploads.find(({ id }) => id === part_id)?.status)
  if (upload.status !== 'in_progress') return
  if (statuses.every((status) => status === 'complete')) complain('every part is there, and it still waits')
  if (statuses.includes(undefined) || statuses.includes('expired'))
    complain('waits for a part that will not come')
}

/** What only chunks side by side can get wrong. */
function checkChunks({ upload, ranges, extents, claims, digests }: Facts, complain: Complain): void {
  for (const { algorithm, epoch, known } of digests) {
    if (upload.status === 'expired') complain(`expired, with a ${algorithm} digest`)
    if (known === (epoch !== null))
      complain(`its ${algorithm} digest is known and being worked out, or neither`)
  }
  if (upload.protocol !== 'frago') return
  if (upload.status === 'in_progress' && upload.prefix !== gaplessEnd(ranges)) {
    complain(`says that a gap begins at ${upload.prefix}, and it does at ${gaplessEnd(ranges)}`)
  }
  if (upload.status === 'complete' && ranges.length > 1) complain(`has ${ranges.length} ranges`)
  if (upload.status === 'complete' && extents.some(({ stop }) => stop === null))
    complain('has an open extent')
  for (const { token, start, stop, replaces } of claims) {
    const met = ranges.filter((range) => range.start < (stop ?? Infinity) && start < range.stop)
    const own = met.length === 1 && met[0]?.start === start && met[0].stop <= (stop ?? Infinity)
    if (replaces ? !own : met.length > 0) complain(`claim ${token} meets ${met.length} received chunks`)
  }
}

/** End of the contiguous prefix. */
export function gaplessEnd(ranges: readonly RangeFacts[]): number {
  let end = 0
  for (const { start, stop } of ranges) {
    if (start > end) break
    end = Math.max(end, stop)
  }
  return end
}
