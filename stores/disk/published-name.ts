import { randomUUID } from 'node:crypto'
import { LONGEST_FILENAME, reservedName } from '../../src/upload/filename.js'
import { isUploadId, type UploadId } from '../../src/upload/upload.js'

const STAMP = /_(\d{8}_\d{6})(?:_([1-9]\d{0,8}))?$/

/**
 * The names an older file may get when a newer one takes its own, the best first: `same.tar_20260131_081718.gz`, and
 * with `_2`, `_3` … where that is taken.
 */
export function* displacedNames(filename: string, moment: Date): Generator<string, never> {
  for (let number = 1; ; number++) yield displacedName(filename, stampOf(moment), number)
}

function displacedName(filename: string, stamp: string, number: number): string {
  const suffix = number === 1 ? `_${stamp}` : `_${stamp}_${number}`
  const { stem, extension } = splitExtension(filename)
  const room = LONGEST_FILENAME - Buffer.byteLength(suffix + extension)
  const cut = cutTo(room, stem)
  // An extension that leaves nothing of the stem is none.
  return cut === '' ? cutTo(LONGEST_FILENAME - suffix.length, filename) + suffix : cut + suffix + extension
}

/** Whether `name` is one that `displacedNames` gives for `filename` at some moment. */
export function isDisplacedName(filename: string, name: string): boolean {
  return [splitExtension(name).stem, name].some((stem) => {
    const [, stamp, number = '1'] = STAMP.exec(stem) ?? []
    return stamp !== undefined && displacedName(filename, stamp, Number(number)) === name
  })
}

/** As Python's os.path.splitext, which frago uses: dots a name begins with begin no extension. */
export function splitExtension(name: string): { readonly stem: string; readonly extension: string } {
  const dot = name.lastIndexOf('.')
  const hasStem = /[^.]/.test(name.slice(0, Math.max(dot, 0)))
  return hasStem ? { stem: name.slice(0, dot), extension: name.slice(dot) } : { stem: name, extension: '' }
}

/** `YYYYmmdd_HHMMSS`, in UTC. */
function stampOf(moment: Date): string {
  const [date = '', time = ''] = moment.toISOString().split('T')
  return `${date.replaceAll('-', '')}_${time.slice(0, 8).replaceAll(':', '')}`
}

/** As many whole characters from the beginning of a text as fit into so many bytes. */
function cutTo(bytes: number, text: string): string {
  let cut = ''
  let left = bytes
  for (const character of text) {
    left -= Buffer.byteLength(character)
    if (left < 0) break
    cut += character
  }
  return cut
}

/** The names that the work on one upload may take for itself. A repeated attempt finds what an earlier one left there. */
export interface PrivateNames {
  /** The content, whole and durable. */
  readonly copy: string
  /** What is being displaced, for as long as that takes. */
  readonly displaced: string
  /** What was taken away from its name, until it is sure that it was the right one. */
  readonly taken: string
}

export function privateNames(uploadId: UploadId): PrivateNames {
  if (!isUploadId(uploadId)) throw new RangeError('The id of an upload must be a lower-case UUID v4.')
  return {
    copy: reservedName(uploadId),
    displaced: reservedName(`${uploadId}.displaced`),
    taken: reservedName(`${uploadId}.taken`),
  }
}

/**
 * The name of a copy that is still being made: another one for each attempt, so that one which was thought dead cannot
 * write into, or finish, that of the next.
 */
export function partName(uploadId: UploadId): string {
  return reservedName(`${uploadId}.${randomUUID()}.part`)
}

export function isPartName(name: string, uploadId: UploadId): boolean {
  return name.startsWith(reservedName(`${uploadId}.`)) && name.endsWith('.part')
}

/** The name of a file that is made only to see whether it can be. */
export function probeName(): string {
  return reservedName(`probe-${randomUUID()}.part`)
}

/** Whether a name is that of a file that is worth nothing once nobody is at it any more. */
export function isUnfinishedName(name: string): boolean {
  return name.startsWith(reservedName('')) && name.endsWith('.part')
}
