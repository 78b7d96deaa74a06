import { join, relative, resolve } from 'node:path'
import { FILE_ALGORITHMS, type FileDigestAlgorithm, fileAlgorithmNamed } from '../upload/digest.js'
import { parseDuration } from './durations.js'
import { mustBe } from './problem.js'
import type { SettingsReader } from './reader.js'
import { parseSize } from './sizes.js'
import { expiration } from './values.js'

/** What governs the facade for clients of frago, and the files it shares with tus. */
export interface FragoConfig {
  /** RETAIN_PUBLISHED, in ms since it was published. Null (default, `forever`): the server keeps its own copy. 0: none. */
  readonly retainPublished: number | null
  /** CHUNKED_UPLOADER_CHECKSUM_TYPE. Default `md5`: of digests whose algorithm the client does not name. */
  readonly checksumType: FileDigestAlgorithm
  /** CHUNKED_UPLOADER_DO_CHECKSUM. Default true: nothing is complete without a digest that fits. */
  readonly doChecksum: boolean
  /** CHUNKED_UPLOADER_EXPIRATION, in ms after the start of an upload. Default: EXPIRATION. Null: never. */
  readonly fragoExpiration: number | null
  /** CHUNKED_UPLOADER_CHUNK_UPLOAD_PATH. Default `DATA_DIR/blobs`. The bytes of every protocol. */
  readonly blobsDirectory: string
  /** CHUNKED_UPLOADER_ASSEMBLED_PATH. Default `DATA_DIR/assembled`. Finished files under their own names. */
  readonly assembledDirectory: string
  /** CHUNKED_UPLOADER_ASSEMBLE_READ_SIZE, in bytes. Default 8 MiB. */
  readonly assembleReadSize: number
}

/** What of the other settings these depend on. */
interface General {
  readonly dataDir: string
  readonly databaseUrl: string | null
  readonly expiration: number | null
}

export function readFrago(reader: SettingsReader, general: General): FragoConfig {
  const fragoExpiration =
    reader.given('CHUNKED_UPLOADER_EXPIRATION') === null
      ? general.expiration
      : reader.read('CHUNKED_UPLOADER_EXPIRATION', expiration)
  const config: FragoConfig = {
    retainPublished: reader.read('RETAIN_PUBLISHED', retention),
    checksumType: reader.read('CHUNKED_UPLOADER_CHECKSUM_TYPE', checksumType),
    doChecksum: reader.read('CHUNKED_UPLOADER_DO_CHECKSUM', yesOrNo),
    fragoExpiration,
    blobsDirectory: reader.given('CHUNKED_UPLOADER_CHUNK_UPLOAD_PATH') ?? join(general.dataDir, 'blobs'),
    assembledDirectory: reader.given('CHUNKED_UPLOADER_ASSEMBLED_PATH') ?? join(general.dataDir, 'assembled'),
    assembleReadSize: reader.read('CHUNKED_UPLOADER_ASSEMBLE_READ_SIZE', readSize),
  }
  checkDirectories(reader, config, general)
  return config
}

function retention(text: string): number | null {
  if (text === 'forever') return null
  const milliseconds = parseDuration(text)
  if (milliseconds === null) throw mustBe('a duration such as 0, 15m, 24h or 30d, or forever', text)
  return milliseconds
}

function checksumType(text: string): FileDigestAlgorithm {
  const algorithm = fileAlgorithmNamed(text)
  if (algorithm === null) throw mustBe(`one of ${FILE_ALGORITHMS.join(', ')}`, text)
  return algorithm
}

/** As people write it who come from Django's settings: `True`, `off`, `0`. */
function yesOrNo(text: string): boolean {
  const word = text.toLowerCase()
  if (['true', '1', 'yes', 'on'].includes(word)) return true
  if (['false', '0', 'no', 'off'].includes(word)) return false
  throw mustBe('true or false', text)
}

const SMALLEST_READ = 4 * 1024

/** An assembler holds one such block in memory, and there may be several at once. */
const LARGEST_READ = 256 * 1024 * 1024

function readSize(text: string): number {
  const bytes = parseSize(text)
  if (bytes === null || bytes < SMALLEST_READ || bytes > LARGEST_READ) {
    throw mustBe('a number of bytes from 4KiB to 256MiB, such as 8388608 or 8MiB', text)
  }
  return bytes
}

/**
 * Names in the directory of finished files are clients' own, so nothing else may live there: a file called `blobs`
 * would meet the directory. And the byte store removes what it does not know from its own.
 */
function checkDirectories(reader: SettingsReader, config: FragoConfig, general: General): void {
  const { blobsDirectory, assembledDirectory } = config
  if (overlap(blobsDirectory, assembledDirectory)) {
    const [assembled, blobs] = ['CHUNKED_UPLOADER_ASSEMBLED_PATH', 'CHUNKED_UPLOADER_CHUNK_UPLOAD_PATH']
    reader.problem(
      reader.given(assembled) === null ? blobs : assembled,
      `finished files (${JSON.stringify(assembledDirectory)}) and the bytes of uploads ` +
        `(${JSON.stringify(blobsDirectory)}) need directories of their own, neither inside the other`,
    )
  }
  if (general.databaseUrl !== null) return
  const database = join(general.dataDir, 'postgres')
  const directories = [
    ['CHUNKED_UPLOADER_CHUNK_UPLOAD_PATH', blobsDirectory],
    ['CHUNKED_UPLOADER_ASSEMBLED_PATH', assembledDirectory],
  ] as const
  for (const [name, directory] of directories) {
    if (reader.given(name) !== null && overlap(directory, database)) {
      reader.problem(
        name,
        `must be apart from the embedded database in ${database}, got ${JSON.stringify(directory)}`,
      )
    }
  }
}

/** Whether one is the other, or inside it, by their names: links are not followed. */
function overlap(one: string, other: string): boolean {
  return isWithin(one, other) || isWithin(other, one)
}

function isWithin(inner: string, outer: string): boolean {
  return !/^\.\.(\/|\\|$)/.test(relative(resolve(outer), resolve(inner)))
}
