import type { Upload } from '@tus/utils'
import type { Portion } from './inflow.js'
import { isPlainFile } from './plain-file.js'

/** What a killed server may lose of an upload: stock stores tell nothing of a write before it has ended. */
const BYTES = 16 * 1024 * 1024

/** DESIGN: progress is recorded once a second. */
const MILLISECONDS = 1_000

/** How many portions of equal size come before they begin to grow. */
const EQUAL = 1_000

/**
 * How much one write of the wrapped store gets. To open a plain file again costs next to nothing, so that it is done
 * as often as progress is recorded. Elsewhere a portion is a part, of which S3 takes 10 000 and none below 5 MiB: 6 000
 * that grow like this reach 5 TiB, the largest object.
 */
export function portionAt(position: number, upload: Upload): Portion {
  if (isPlainFile(upload)) return { bytes: BYTES, milliseconds: MILLISECONDS }
  return { bytes: Math.max(BYTES, Math.floor(position / EQUAL)), milliseconds: null }
}
