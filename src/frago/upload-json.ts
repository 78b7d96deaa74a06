import type { ListedUpload } from '../upload/ports.js'

/** An upload as frago shows it: these seven keys, in this order (NOTES section 7). */
export function uploadJson({ upload, received }: ListedUpload): object {
  return {
    upload_id: upload.id,
    // Uploads of the other protocol may have no name, and no length yet.
    filename: upload.filename ?? upload.id,
    total_size: upload.length,
    status: upload.status,
    created_at: dateTime(upload.createdAt),
    completed_at: upload.completedAt === null ? null : dateTime(upload.completedAt),
    chunks: received.map(({ start, stop }) => ({ start, end: stop - 1, size: stop - start })),
  }
}

/** ISO 8601 with six digits of a second, or none where they would all be zero, as Python writes it. */
function dateTime(date: Date): string {
  return date.toISOString().replace(/\.(\d{3})Z$/, (_, ms: string) => (ms === '000' ? 'Z' : `.${ms}000Z`))
}
