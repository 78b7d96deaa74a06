import { createHash } from 'node:crypto'
import type { FinalRequest } from '../../src/upload/ports.js'

/**
 * What makes two requests for a final the same (law 5): owner, ordered parts, metadata. JSON keeps a null owner
 * apart from every text, and the fields apart from each other.
 */
export function finalKey(request: FinalRequest): Buffer {
  const facts = [request.owner, request.parts.map((part) => part.id), request.sent]
  return createHash('sha256').update(JSON.stringify(facts)).digest()
}
