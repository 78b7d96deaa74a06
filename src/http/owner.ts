import { isOwner, LONGEST_OWNER } from '../upload/owner.js'
import { RequestError } from './errors.js'

/** What `identify` gave as the owner. Anything but a usable text or null is its fault, not the client's. */
export function checkedOwner(owner: unknown): string | null {
  if (owner === null || (typeof owner === 'string' && isOwner(owner))) return owner
  const got = typeof owner === 'string' ? `a text of ${[...owner].length} characters` : typeof owner
  throw new RequestError(
    'misconfigured',
    `identify must give null or a text of 1 to ${LONGEST_OWNER} characters without control characters, gave ${got}.`,
  )
}
