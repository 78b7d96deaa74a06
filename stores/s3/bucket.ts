import type { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import type { SegmentPart } from '../../src/upload/segment.js'
import { again } from './again.js'
import { type Bytes, bytesOf, checksumOf, streamOf } from './bytes.js'
import { isAbsent, isRefusal, isUnknown } from './storage-error.js'

/** What an object says of itself to whoever gets it past this server. */
export interface ObjectHeaders {
  readonly contentType?: string
  readonly contentDisposition?: string
  /** Names and values in ASCII, 2 KB at most in all. */
  readonly metadata?: Readonly<Record<string, string>>
}

export type Confirmed = Pick<SegmentPart, 'etag' | 'checksum'>

/** `[start, stop)` of an object. */
export interface ObjectRange {
  readonly key: string
  readonly start: number
  readonly stop: number
}

/** What a provider holds of a multipart upload, by number. */
export type HeldParts = ReadonlyMap<number, Confirmed & { readonly bytes: number }>

/** A body whose length is known, but not its bytes: it can be sent once. */
export interface Flow {
  readonly stream: Readable
  readonly bytes: number
  /** Aborts when the stream fails, which the SDK would wait for. */
  readonly signal: AbortSignal
}

/**
 * The calls we make to a provider, and how they differ between providers. Errors are those of the SDK, which tries again what it
 * can: a 503, a connection that broke, an error that comes as the body of a success (CompleteMultipartUpload, UploadPartCopy).
 * (Named `Bucket` it would lose the field of that name in its requests: TypeScript 7.0.2 writes `_a:` for both.)
 */
export class S3Bucket {
  readonly #client: S3Client
  readonly #name: string
  #checksums = true
  #copies = true

  constructor(client: S3Client, name: string) {
    this.#client = client
    this.#name = name
  }

  /** Whether parts can be copied from objects that are there (UploadPartCopy), as far as is known by now. */
  get copies(): boolean {
    return this.#copies
  }

  async put(key: string, body: Bytes, headers: ObjectHeaders, signal?: AbortSignal): Promise<void> {
    const checksum = this.#checksums ? { ChecksumCRC32: checksumOf(body) } : {}
    const put = () =>
      this.#client.send(
        new PutObjectCommand({ ...this.#at(key), ...sized(body), ...checksum, ...names(headers) }),
        until(signal),
      )
    await again(put, body, signal)
  }

  /** Begins a multipart upload; resolves with its id. All of its parts are `checked`, or none: providers refuse a mixture. */
  async begin(key: string, headers: ObjectHeaders, checked: boolean, signal?: AbortSignal): Promise<string> {
    const { UploadId } = await this.#client.send(
      new CreateMultipartUploadCommand({
        ...this.#at(key),
        ...names(headers),
        ...(checked && this.#checksums && { ChecksumAlgorithm: 'CRC32' as const }),
      }),
      until(signal),
    )
    if (UploadId === undefined) throw new Error('a multipart upload was begun without an id')
    return UploadId
  }

  /** A part with its checksum, where the provider takes one. */
  async putChecked(
    key: string,
    uploadId: string,
    number: number,
    body: Bytes,
    signal?: AbortSignal,
  ): Promise<Confirmed> {
    const checksum = this.#checksums ? checksumOf(body) : null
    const put = () =>
      this.#putPart(
        key,
        uploadId,
        number,
        { ...sized(body), ...(checksum !== null && { ChecksumCRC32: checksum }) },
        signal,
      )
    const etag = await again(put, body, signal)
    return { etag, checksum }
  }

  /** A part without. */
  async putPart(key: string, uploadId: string, number: number, body: Bytes): Promise<Confirmed> {
    const etag = await again(() => this.#putPart(key, uploadId, number, sized(body)), body)
    return { etag, checksum: null }
  }

  /** A part whose bytes are not at hand. A failure is not tried again here. */
  async flowPart(
    key: string,
    uploadId: string,
    number: number,
    { stream, bytes, signal }: Flow,
  ): Promise<Confirmed> {
    const etag = await this.#putPart(key, uploadId, number, { Body: stream, ContentLength: bytes }, signal)
    return { etag, checksum: null }
  }

  /** `whole`: the length of the object it is copied from. Fails with what `isUnknown` knows where there is no such operation. */
  async copyPart(
    key: string,
    uploadId: string,
    number: number,
    from: ObjectRange,
    whole: number,
  ): Promise<Confirmed> {
    try {
      const { CopyPartResult } = await this.#client.send(
        new UploadPartCopyCommand({
          ...this.#at(key),
          UploadId: uploadId,
          PartNumber: number,
          CopySource: `${this.#name}/${from.key}`.split('/').map(encodeURIComponent).join('/'),
          // A whole object needs none, and a small one may have none.
          ...((from.start > 0 || from.stop < whole) && { CopySourceRange: rangeOf(from) }),
        }),
      )
      if (CopyPartResult?.ETag === undefined) this.#copies = false
      return confirmed(CopyPartResult?.ETag, CopyPartResult?.ChecksumCRC32)
    } catch (error) {
      if (isUnknown(error)) this.#copies = false
      throw error
    }
  }

  async complete(
    key: string,
    uploadId: string,
    parts: readonly SegmentPart[],
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#client.send(
      new CompleteMultipartUploadCommand({
        ...this.#at(key),
        UploadId: uploadId,
        MultipartUpload: {
          Parts: parts.map(({ number, etag, checksum }) => ({
            PartNumber: number,
            ETag: etag,
            ...(checksum !== null && { ChecksumCRC32: checksum }),
          })),
        },
      }),
      until(signal),
    )
  }

  /** Ends a multipart upload; that there is none is no error. */
  async abort(key: string, uploadId: string, signal?: AbortSignal): Promise<void> {
    try {
      await this.#client.send(
        new AbortMultipartUploadCommand({ ...this.#at(key), UploadId: uploadId }),
        until(signal),
      )
    } catch (error) {
      if (!isAbsent(error)) throw error
    }
  }

  async parts(key: string, uploadId: string, signal?: AbortSignal): Promise<HeldParts> {
    const found = new Map<number, Confirmed & { readonly bytes: number }>()
    let marker: string | undefined
    do {
      const page = await this.#client.send(
        new ListPartsCommand({
          ...this.#at(key),
          UploadId: uploadId,
          ...(marker !== undefined && { PartNumberMarker: marker }),
        }),
        until(signal),
      )
      for (const part of page.Parts ?? [])
        found.set(part.PartNumber ?? 0, {
          ...confirmed(part.ETag, part.ChecksumCRC32),
          bytes: part.Size ?? 0,
        })
      marker = page.IsTruncated ? page.NextPartNumberMarker : undefined
    } while (marker !== undefined)
    return found
  }

  /** Bytes of an object as they come. Fails with what `isAbsent` knows. */
  async get(range: ObjectRange): Promise<Readable> {
    const { Body } = await this.#client.send(
      new GetObjectCommand({ ...this.#at(range.key), Range: rangeOf(range) }),
    )
    return Body as Readable
  }

  /** The length of an object; null when it is not there. */
  async size(key: string, signal?: AbortSignal): Promise<number | null> {
    try {
      const { ContentLength } = await this.#client.send(new HeadObjectCommand(this.#at(key)), until(signal))
      return ContentLength ?? null
    } catch (error) {
      if (isAbsent(error)) return null
      throw error
    }
  }

  /** Removes an object; that it is not there is no error. One by one: not every provider deletes many in one call. */
  async remove(key: string): Promise<void> {
    try {
      await this.#client.send(new DeleteObjectCommand(this.#at(key)))
    } catch (error) {
      if (!isAbsent(error)) throw error
    }
  }

  /** The keys that begin so, page by page. */
  async *keys(prefix: string): AsyncGenerator<readonly string[]> {
    let token: string | undefined
    do {
      const page = await this.#client.send(
        new ListObjectsV2Command({
          Bucket: this.#name,
          Prefix: prefix,
          ...(token !== undefined && { ContinuationToken: token }),
        }),
      )
      yield (page.Contents ?? []).flatMap(({ Key }) => Key ?? [])
      token = page.IsTruncated ? page.NextContinuationToken : undefined
    } while (token !== undefined)
  }

  /** Multipart uploads to keys that begin so, page by page. */
  async *uploads(
    prefix: string,
  ): AsyncGenerator<readonly { readonly key: string; readonly uploadId: string }[]> {
    let markers: { KeyMarker?: string; UploadIdMarker?: string } | null = {}
    while (markers !== null) {
      const page: Awaited<ReturnType<typeof this.listUploads>> = await this.listUploads(prefix, markers)
      yield (page.Uploads ?? []).flatMap(({ Key, UploadId }) =>
        Key !== undefined && UploadId !== undefined ? { key: Key, uploadId: UploadId } : [],
      )
      markers = page.IsTruncated
        ? {
            ...(page.NextKeyMarker !== undefined && { KeyMarker: page.NextKeyMarker }),
            ...(page.NextUploadIdMarker !== undefined && { UploadIdMarker: page.NextUploadIdMarker }),
          }
        : null
    }
  }

  private listUploads(prefix: string, markers: { KeyMarker?: string; UploadIdMarker?: string }) {
    return this.#client.send(
      new ListMultipartUploadsCommand({ Bucket: this.#name, Prefix: prefix, ...markers }),
    )
  }

  /** Whether the bucket answers, and is ours to use. */
  async check(): Promise<void> {
    await this.#client.send(new HeadBucketCommand({ Bucket: this.#name }))
  }

  /** Proves that objects can be put and removed, and finds out whether the provider takes checksums with them. */
  async probe(key: string): Promise<void> {
    const body = bytesOf([
      Buffer.from('This object proves that the bucket can be written to; it may be deleted.\n'),
    ])
    try {
      await this.put(key, body, {})
    } catch (error) {
      if (!isRefusal(error) && !isUnknown(error)) throw error
      // What was refused for another reason fails again, and says why.
      this.#checksums = false
      await this.put(key, body, {})
    }
    await this.remove(key)
  }

  close(): void {
    this.#client.destroy()
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#name, Key: key }
  }

  async #putPart(
    key: string,
    uploadId: string,
    number: number,
    sent: { Body: Readable; ContentLength: number; ChecksumCRC32?: string },
    signal?: AbortSignal,
  ): Promise<string> {
    const { ETag } = await this.#client.send(
      new UploadPartCommand({ ...this.#at(key), UploadId: uploadId, PartNumber: number, ...sent }),
      until(signal),
    )
    return confirmed(ETag, undefined).etag
  }
}

function until(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal }
}

function sized(body: Bytes): { Body: Readable; ContentLength: number } {
  return { Body: streamOf(body), ContentLength: body.length }
}

function confirmed(etag: string | undefined, checksum: string | undefined): Confirmed {
  if (etag === undefined) throw new Error('a part was confirmed without an ETag')
  return { etag, checksum: checksum ?? null }
}

/** RFC 9110 names the last byte. */
function rangeOf({ start, stop }: ObjectRange): string {
  return `bytes=${start}-${stop - 1}`
}

function names({ contentType, contentDisposition, metadata }: ObjectHeaders) {
  return {
    ...(contentType !== undefined && { ContentType: contentType }),
    ...(contentDisposition !== undefined && { ContentDisposition: contentDisposition }),
    ...(metadata !== undefined && { Metadata: { ...metadata } }),
  }
}
