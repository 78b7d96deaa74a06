import { createHash } from 'node:crypto'
import type { FinalDraft } from '../../src/upload/ports.js'

/**
 * What makes two requests for a final the same (law 5): owner, ordered parts, metadata. JSON keeps a null owner
 * apart from every text, and the fields apart from each other.
 */
export function finalKey(draft: FinalDraft): Buffer {
  const facts = [draft.owner, draft.parts.map((part) => part.id), draft.metadata]
  return createHash('sha256').update(JSON.stringify(facts)).digest()
}
