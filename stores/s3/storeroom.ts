import type { Segment, SegmentLedger, Subject } from '../../src/upload/segment.js'
import type { Blocks } from './blocks.js'
import type { ObjectHeaders, S3Bucket } from './bucket.js'
import type { WaitingBytes } from './waiting-bytes.js'

/** What everything in this room works with. */
export interface Storeroom {
  readonly bucket: S3Bucket
  readonly ledger: SegmentLedger
  readonly waiting: WaitingBytes
  readonly blocks: Blocks
  /** Under which this process writes at this moment. */
  readonly epoch: () => number
  readonly headersOf: (subject: Subject) => ObjectHeaders
  /** Before every key, with the deployment's id in it: nothing outside is listed, written or removed. Known once it is open. */
  readonly prefix: () => string
  /** Most parts of a multipart upload. */
  readonly maxParts: number
}

/** The address of what one segment's writer puts: nobody else ever writes there. */
export function keyOf(
  room: Storeroom,
  { writer, blob, id }: Pick<Segment, 'writer' | 'blob' | 'id'>,
): string {
  return `${epochPrefix(room, writer)}${blob.id}/${id}`
}

export function epochPrefix(room: Storeroom, epoch: number): string {
  return `${room.prefix()}${epoch}/`
}

/** The id of the segment that a key is that of; null for a key that is none of ours. */
export function segmentIn(key: string): string | null {
  return SEGMENT_KEY.exec(key)?.[1] ?? null
}

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const SEGMENT_KEY = new RegExp(`/${UUID}/(${UUID})$`)
