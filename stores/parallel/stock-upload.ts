import { Metadata, Upload as StockUpload } from '@tus/utils'
import type { UploadDraft } from '../../src/upload/ports.js'
import { isUploadId, type Upload } from '../../src/upload/upload.js'

type StockMetadata = NonNullable<StockUpload['metadata']>

/** What a stock handler needs to know about an upload of ours. */
export function toStockUpload(upload: Upload, expiration: number | null): StockUpload {
  const metadata = metadataOf(upload)
  const stock = new StockUpload({
    id: upload.id,
    offset: upload.offset,
    ...(upload.length !== null && { size: upload.length }),
    ...(metadata && { metadata }),
  })
  stock.creation_date = stockDate(upload, expiration)
  return stock
}

/**
 * The date stock handlers reckon with. They answer 410 as soon as `creation_date` + `getExpiration()` is over, even for
 * finished uploads, and know no expiry that moves with the last byte: so that an unfinished upload looks created
 * one expiration before it expires, and one that does not expire has no date at all.
 */
export function stockDate(upload: Pick<Upload, 'expiresAt' | 'createdAt'>, expiration: number | null) {
  if (expiration === null) return upload.createdAt.toISOString()
  if (upload.expiresAt === null) return undefined
  return new Date(upload.expiresAt.getTime() - expiration).toISOString()
}

/** A new upload as a stock handler describes it, under an id of ours. */
export function toDraft(stock: StockUpload, id: string, owner: string | null): UploadDraft {
  const text = stock.metadata ? Metadata.stringify(stock.metadata) : ''
  return {
    id,
    owner,
    kind: 'whole',
    protocol: 'tus',
    length: stock.size ?? null,
    metadata: text === '' ? null : text,
    filename: nameIn(stock.metadata ?? {}),
  }
}

/** Ids are ours, and have one form; a `namingFunction` that gives that form is taken at its word. */
export function idFor(stock: StockUpload, fresh: () => string): string {
  return isUploadId(stock.id) ? stock.id : fresh()
}

/** The metadata as hooks of @tus/server know it: values as text. */
function metadataOf({ metadata, filename, protocol }: Upload): StockMetadata | undefined {
  if (protocol === 'tus' && metadata !== null) return parse(metadata)
  return filename === null ? undefined : { filename }
}

/**
 * Not `Metadata.parse`, which fails for keys that every object has, such as `constructor`: what is read here was
 * checked when it was taken in.
 */
function parse(text: string): StockMetadata {
  const pairs = text.split(',').map((pair): [string, string | null] => {
    const [key = '', value] = pair.split(' ')
    return [key, value ? Buffer.from(value, 'base64').toString('utf8') : null]
  })
  return Object.fromEntries(pairs)
}

/** Uppy sends both keys, others one of them. NUL is what PostgreSQL's text cannot hold. */
function nameIn({ filename, name }: StockMetadata): string | null {
  const text = filename || name || null
  return text === null || text.includes('\0') ? null : text
}
