import { mustBe, Problem } from './problem.js'
import type { SettingsReader } from './reader.js'

/** Where objects are kept, with STORE=s3. */
export interface ObjectsConfig {
  /** S3_ENDPOINT. Null (default): that of AWS in the region. */
  readonly endpoint: string | null
  /** S3_REGION. Null (default): what AWS_REGION or the SDK's own files say; `us-east-1` with an endpoint. */
  readonly region: string | null
  /** S3_BUCKET. It must be there. */
  readonly bucket: string
  /** S3_PREFIX. Default `tributary/`: nothing outside of it is touched. Empty: keys begin with the deployment's id. */
  readonly prefix: string
  /** S3_MAX_PARTS. Default 10,000. Fewer make larger parts. */
  readonly maxParts: number
}

/** Whoever sets one of these means objects to be kept there. */
const MEANT = ['S3_BUCKET', 'S3_ENDPOINT'] as const

/** Null with another store. */
export function readObjects(reader: SettingsReader, store: 'disk' | 's3'): ObjectsConfig | null {
  if (store !== 's3') {
    for (const name of MEANT)
      if (reader.given(name) !== null) reader.warn(name, 'has no effect without STORE=s3')
    return null
  }
  const bucket = reader.read('S3_BUCKET', bucketName, null)
  if (reader.given('S3_BUCKET') === null) reader.problem('S3_BUCKET', 'is needed with STORE=s3')
  return {
    endpoint: reader.read('S3_ENDPOINT', endpoint, null),
    region: reader.read('S3_REGION', region, null),
    bucket: bucket ?? '',
    prefix: reader.read('S3_PREFIX', prefix),
    maxParts: reader.read('S3_MAX_PARTS', maxParts),
  }
}

/** Credentials in it would be shown in logs and processes' lists. */
function endpoint(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search)
    throw new Problem('must be a URL like https://s3.example.com, without a user or a password')
  return text
}

function region(text: string): string {
  if (!/^[A-Za-z0-9-]{1,63}$/.test(text)) throw mustBe('the name of a region, such as eu-central-1', text)
  return text
}

function bucketName(text: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$/.test(text)) throw mustBe('the name of a bucket', text)
  return text
}

/** Letters that need no encoding anywhere, so that keys look the same in every tool. */
function prefix(text: string): string {
  if (text === NO_PREFIX) return ''
  if (!/^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*\/)+$/.test(text) || text.length > 512)
    throw mustBe('words of letters, digits, ., _ and -, each with a / after it, such as tributary/', text)
  return text
}

const NO_PREFIX = 'none'

function maxParts(text: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (!(number >= 2 && number <= 10_000)) throw mustBe('an integer from 2 to 10000', text)
  return number
}
