const MIB = 1024 * 1024

/** What S3 asks of every part but the last. */
export const LEAST_PART = 5 * MIB
/** The most that one part may have, copied or sent. */
const MOST_PART = 5 * 1024 * MIB
/** Larger ones make fewer calls, and more bytes pass through this process where extents do not end on the grid. */
const USUAL_PART = 8 * MIB

export interface GridPart {
  /** From 1. */
  readonly number: number
  readonly start: number
  readonly stop: number
}

/**
 * The size of all parts but the last of an object of so many bytes. It follows from the length alone, so that whoever goes on with an
 * object knows which bytes a part number stands for; and parts that are equal are what every provider takes (R2 takes nothing else).
 */
export function partBytesFor(total: number, maxParts: number): number {
  const least = Math.ceil(total / maxParts / MIB) * MIB
  if (least > MOST_PART) throw new RangeError(`An object of ${total} bytes has more than ${maxParts} parts.`)
  return Math.max(USUAL_PART, least)
}

export function gridParts(total: number, partBytes: number): readonly GridPart[] {
  return Array.from({ length: Math.ceil(total / partBytes) }, (_, index) => ({
    number: index + 1,
    start: index * partBytes,
    stop: Math.min(total, (index + 1) * partBytes),
  }))
}
