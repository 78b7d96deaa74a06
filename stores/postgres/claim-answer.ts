import type { Blob } from '../../src/upload/blob.js'
import { expired, notFound, OffsetMismatch, UploadError } from '../../src/upload/errors.js'
import type { ClaimRequest } from '../../src/upload/ports.js'
import type { ExtentRow } from './rows.js'

/** What `claim_range` answers. */
export type ClaimAnswer =
  | {
      readonly outcome: 'granted'
      readonly token: number
      readonly length: number | null
      readonly blob: Blob
      readonly blob_offset: number
      readonly fresh: boolean
      readonly replaces?: { readonly stop: number; readonly extents: readonly ExtentRow[] }
    }
  | { readonly outcome: 'held' }
  | Refusal

type Refusal =
  | { readonly outcome: 'unknown' | 'expired' | 'final' | 'finished' | 'conflict' | 'too_large' }
  | { readonly outcome: 'protocol'; readonly protocol: string }
  | { readonly outcome: 'offset' | 'short'; readonly offset: number }
  | { readonly outcome: 'declared'; readonly length: number }

export function refusal(answer: Refusal, request: ClaimRequest): UploadError {
  switch (answer.outcome) {
    case 'unknown':
      return notFound()
    case 'expired':
      return expired()
    case 'final':
      return new UploadError(
        'upload_is_final',
        'A final upload is made of its parts and takes no bytes itself.',
      )
    case 'finished':
      return new UploadError('upload_finished', 'The upload is complete; nothing can be added to it.')
    case 'conflict':
      return new UploadError(
        'range_conflict',
        'The range overlaps bytes that are already there, or ends too late.',
      )
    case 'too_large':
      return new UploadError(
        'size_exceeded',
        `With ${request.declaredLength} bytes of this part, a final upload that waits for it would be longer than it may be.`,
      )
    case 'protocol':
      return wrongProtocol(answer.protocol)
    case 'offset':
      return new OffsetMismatch(request.start, answer.offset)
    case 'short':
      return new UploadError(
        'length_conflict',
        `The upload already has ${answer.offset} bytes; its length cannot be ${request.declaredLength}.`,
      )
    case 'declared':
      return new UploadError(
        'length_conflict',
        `The upload has a length of ${answer.length}, which cannot change to ${request.declaredLength}.`,
      )
  }
}

export function wrongProtocol(protocol: string): UploadError {
  return new UploadError(
    'wrong_protocol',
    `This upload was started with ${protocol} and is written to through ${protocol} only.`,
  )
}

/** The claim was taken over, or its epoch has lapsed: what was written under it does not count. */
export function lost(): UploadError {
  return new UploadError(
    'claim_lost',
    'Another request took this upload over meanwhile; ask for its offset and go on.',
  )
}
