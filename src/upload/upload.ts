import type { Digest } from './digest.js'

/** Identifies an upload: a lower-case, hyphenated UUID v4 made by us, in every protocol (never a client's text). */
export type UploadId = string

/** `whole`: an ordinary upload; `partial`: a part meant for concatenation; `final`: a concatenation of parts. */
export type UploadKind = 'whole' | 'partial' | 'final'

/** The protocol an upload was started with, and the only one that may write to it. */
export type UploadProtocol = 'tus' | 'frago'

/**
 * `in_progress` becomes `complete` or `expired`; of complete uploads only partials that nobody uses any more expire.
 * Termination removes the record.
 */
export type UploadStatus = 'in_progress' | 'complete' | 'expired'

/** One record for every protocol. */
export interface Upload {
  readonly id: UploadId
  /** Who may see it; null is the anonymous owner, and counts as a value. */
  readonly owner: string | null
  readonly kind: UploadKind
  readonly protocol: UploadProtocol
  /** Bytes in all; null while deferred, or while the parts of a final do not all have one. */
  readonly length: number | null
  /** End of the contiguous prefix of the received ranges, in bytes. */
  readonly offset: number
  /** The client's metadata exactly as sent, in the syntax of the protocol it came with; null if none was. */
  readonly metadata: string | null
  /** The client's name for the file: data for people, never a path. */
  readonly filename: string | null
  readonly status: UploadStatus
  /** Digest of the whole content, once one was verified. */
  readonly digest: Digest | null
  readonly createdAt: Date
  readonly completedAt: Date | null
  /** When it will expire if nothing more happens; null: never. By the database's clock. */
  readonly expiresAt: Date | null
  /** Of a final: its parts as the client named them, in order. Null for other kinds. */
  readonly partNames: readonly string[] | null
}

/** The largest length and offset accepted: 2^53 - 1, the last integer a JSON number and `int8` both hold exactly. */
export const MAX_LENGTH = Number.MAX_SAFE_INTEGER

const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** Whether `text` has the one form our ids have (RFC 9562 version 4, lower case). */
export function isUploadId(text: string): boolean {
  return UUID_V4.test(text)
}
