import type { Readable, Writable } from 'node:stream'
import { Busboy } from '@fastify/busboy'
import { UploadError } from '../../upload/errors.js'
import { Base64Decoder } from './base64-decoder.js'
import { MOST_FIELD_BYTES } from './collect.js'
import { charsetOf, encodingOf } from './decode.js'
import { malformed } from './malformed.js'
import type { OpenBody } from './open-body.js'

/** Parts of a form; more of them serve nobody. */
const MOST_FIELDS = 1000

/** Room between the parser and whoever stores a file; the file's own reader has a larger one. */
const FILE_ROOM = 256 * 1024

export interface FormReader {
  field(name: string, value: string, truncated: boolean): void
  /**
   * A part with a file name, whatever that name is. It must read the part to its end, or fail; the next part comes after
   * it has settled.
   */
  file(name: string, part: FilePart): Promise<void>
}

export interface FilePart {
  /** Fails with `malformed_body` where its content is not in the coding it says. */
  readonly content: Readable
  /** To be asked when its content was read: false where the body ended within the part. */
  isWhole(): boolean
}

/**
 * Walks through a multipart body as it arrives; nothing of it is kept. Resolves when all of it was read. Throws
 * `malformed_body`, `request_incomplete` (the client left), the signal's reason, or what the reader throws; the source
 * is left alive, since the answer goes out over the same socket.
 */
export async function walkMultipart(
  { source, type }: OpenBody,
  signal: AbortSignal,
  reader: FormReader,
): Promise<void> {
  const parser = openParser(type)
  const stopped = new AbortController()
  const stop = (reason: unknown) => stopped.abort(reason)
  const files = new FileQueue(reader, stopped.signal, {
    full: () => source.unpipe(parser),
    free: () => source.pipe(parser),
  })
  parser.on('field', (name: string | undefined, value: string, _cut: boolean, truncated: boolean) => {
    try {
      if (name !== undefined) reader.field(name, value, truncated)
    } catch (error) {
      stop(error)
    }
  })
  parser.on('file', (name: string | undefined, part: Readable, _filename: string, encoding: string) =>
    files.add(name ?? '', filePart(part, encoding), stop),
  )
  parser.on('fieldsLimit', () => stop(malformed('Multipart form', `more than ${MOST_FIELDS} fields`)))
  // A body without its closing line: the last part tells, if it is a file; the last field counts as it is.
  parser.on('error', () => undefined)
  const cut = () => {
    if (!source.readableEnded)
      stop(new UploadError('request_incomplete', 'The request broke off before its end.'))
  }
  const aborted = () => stop(signal.reason)
  source.on('error', cut).on('close', cut)
  signal.addEventListener('abort', aborted)
  if (signal.aborted) aborted()
  if (source.destroyed) cut()
  try {
    const finished = ended(parser, stopped.signal)
    source.pipe(parser)
    await finished
    // Readers of parts that will not go on wait for ever.
    stopped.signal.throwIfAborted()
    await files.settled()
    stopped.signal.throwIfAborted()
  } finally {
    signal.removeEventListener('abort', aborted)
    source.unpipe(parser)
    source.off('error', cut).off('close', cut)
    parser.destroy()
    files.end()
    await files.settled()
  }
}

function ended(parser: Writable, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    parser.once('finish', resolve)
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (signal.aborted) resolve()
  })
}

/** Files one after the other: a later one of the same name takes the place of an earlier one. */
class FileQueue {
  readonly #reader: FormReader
  readonly #stopped: AbortSignal
  readonly #flow: { full(): void; free(): void }
  readonly #open = new Set<FilePart>()
  #last: Promise<void> = Promise.resolve()

  /** `full` when a file has to wait, each with all the parser takes of it: no more must come before `free`. */
  constructor(reader: FormReader, stopped: AbortSignal, flow: { full(): void; free(): void }) {
    this.#reader = reader
    this.#stopped = stopped
    this.#flow = flow
  }

  add(name: string, part: FilePart, failed: (error: unknown) => void): void {
    this.#open.add(part)
    if (this.#open.size === 2) this.#flow.full()
    this.#last = this.#last
      .then(() => {
        if (!this.#stopped.aborted) return this.#reader.file(name, part)
      })
      .catch(failed)
      .finally(() => {
        this.#open.delete(part)
        if (this.#open.size === 1 && !this.#stopped.aborted) this.#flow.free()
      })
  }

  /** Lets readers of parts that will not go on see that. */
  end(): void {
    for (const { content } of this.#open) content.destroy()
  }

  settled(): Promise<void> {
    return this.#last
  }
}

/** The parser has an unfinished part fail and then end; nobody else may listen at that moment. */
function filePart(part: Readable, encoding: string): FilePart {
  let whole = true
  part.on('error', () => {
    whole = false
  })
  return { content: encoding === 'base64' ? decoded(part) : part, isWhole: () => whole }
}

/** Of a part that fails what came before: the parser waits for its end all the same. */
function decoded(part: Readable): Readable {
  const decoder = new Base64Decoder()
  decoder.on('error', () => undefined)
  return part.pipe(decoder)
}

function openParser(type: string): InstanceType<typeof Busboy> {
  try {
    if (/;\s*boundary=(?:"")?\s*(?:;|$)/i.test(type)) throw new TypeError('The boundary is empty.')
    return new Busboy({
      headers: { 'content-type': type },
      defCharset: encodingOf(charsetOf(type)),
      limits: { fields: MOST_FIELDS, fieldSize: MOST_FIELD_BYTES },
      fileHwm: FILE_ROOM,
      highWaterMark: FILE_ROOM,
      // A part without a file name is text, whatever its type. What is left of an empty one, or of `dir/`, is none.
      isPartAFile: (_name, _type, filename) => filename !== undefined && filename !== '',
    })
  } catch (error) {
    throw malformed('Multipart form', 'Invalid boundary in multipart: None', error)
  }
}
