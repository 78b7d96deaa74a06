import { UploadError } from '../../src/upload/errors.js'
import type { FinalDraft } from '../../src/upload/ports.js'
import type { UploadRow } from './rows.js'

/** What `concatenate` answers; `part` counts from 1. */
export type ConcatenateAnswer =
  | { readonly outcome: 'made'; readonly upload: UploadRow }
  | { readonly outcome: 'repeated'; readonly upload: UploadRow }
  | Refusal

type Refusal =
  | { readonly outcome: 'unknown' | 'not_partial' | 'expired'; readonly part: number }
  | { readonly outcome: 'too_large'; readonly total: number }

export function refusedPart(answer: Refusal, draft: FinalDraft): UploadError {
  if (answer.outcome === 'too_large') {
    return new UploadError(
      'size_exceeded',
      `The parts have ${answer.total} bytes together, more than an upload may have (${draft.maxSize ?? Number.MAX_SAFE_INTEGER}).`,
    )
  }
  const which = `Part ${answer.part} (${draft.parts[answer.part - 1]?.name ?? ''})`
  switch (answer.outcome) {
    case 'unknown':
      return new UploadError('part_not_found', `${which} is no upload known here.`)
    case 'not_partial':
      return new UploadError('part_not_partial', `${which} was not started as a partial upload.`)
    case 'expired':
      return new UploadError('part_expired', `${which} has expired.`)
  }
}
