/** One setting as the help and the README show it. */
export interface Setting {
  /** Environment variable. The flag is the same name in kebab-case: `DATA_DIR`, `--data-dir`. */
  readonly name: string
  /** What an unset variable means, in the notation of the setting itself; null: nothing. */
  readonly default: string | null
  /** What is shown where the default is nothing. */
  readonly unset?: string
  /** What an empty value means, in the notation of the setting, where it is not the same as not set. */
  readonly empty?: string
  /** One sentence or two: what it does, its unit, and the consequence of changing it. */
  readonly description: string
  /** True when the flag may stand alone, without a value, and then means true. */
  readonly toggle?: true
}

/** Every setting there is, in the order people need them. */
export const SETTINGS = [
  {
    name: 'HOST',
    default: '127.0.0.1',
    description: 'Address to listen on. `0.0.0.0` opens the server to the network.',
  },
  { name: 'PORT', default: '1080', description: 'TCP port, 0 to 65535; `0` takes any free one.' },
  {
    name: 'WORKERS',
    default: '1',
    description:
      'How many processes serve the port, 1 to 64; more than there are cores gain nothing. Each takes up to 12 connections to the database. With the embedded one there are at most 16, and from 9 on fewer connections for each.',
  },
  {
    name: 'DATA_DIR',
    default: './data',
    description:
      'Directory of the uploaded bytes (`blobs`), of finished files of frago clients (`assembled`) and of the embedded database (`postgres`). Made when missing.',
  },
  {
    name: 'DATABASE_URL',
    default: null,
    unset: 'an embedded PostgreSQL in `DATA_DIR/postgres`',
    description: 'PostgreSQL 14 or newer. Needed to run several servers.',
  },
  {
    name: 'DATABASE_DIRECT_URL',
    default: null,
    unset: 'DATABASE_URL',
    description:
      'Needed when DATABASE_URL leads through a pooler such as pgbouncer, and says that it does: a way around it, for `LISTEN` and migrations.',
  },
  {
    name: 'DATABASE_SCHEMA',
    default: 'tributary',
    description: 'Schema of the tables, made when missing. Lower-case letters, digits and `_`.',
  },
  {
    name: 'STORE',
    default: 'disk',
    description:
      'Where bytes are kept: `disk`, or `s3`: in a bucket of S3 or of anything that speaks its protocol. Credentials come from `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and whatever else the AWS SDK looks for.',
  },
  {
    name: 'S3_BUCKET',
    default: null,
    unset: 'none; needed with `STORE=s3`',
    description: 'The bucket. It must be there.',
  },
  {
    name: 'S3_ENDPOINT',
    default: null,
    unset: 'AWS',
    description: 'URL of the provider, such as `http://minio:9000`.',
  },
  {
    name: 'S3_REGION',
    default: null,
    unset: '`AWS_REGION`; `us-east-1` with S3_ENDPOINT',
    description: 'Region of the bucket.',
  },
  {
    name: 'S3_PREFIX',
    default: 'tributary/',
    empty: 'none',
    description:
      'How all keys begin, ending in `/`; nothing else in the bucket is listed, read or removed. `none`: keys begin with the id of the deployment.',
  },
  {
    name: 'S3_MAX_PARTS',
    default: '10000',
    description:
      'Most parts of a multipart upload, where the provider allows fewer than S3 (Scaleway: 1000).',
  },
  { name: 'TUS_PATH', default: '/files', description: 'Path at which tus clients create uploads.' },
  {
    name: 'FRAGO_PATHS',
    default: '/api/upload,/upload',
    empty: 'none',
    description:
      'Paths at which clients of frago are served, with commas between them; empty or `none`: nowhere.',
  },
  {
    name: 'AUTH_TOKENS',
    default: null,
    unset: 'nobody is asked',
    description:
      'Who may use the server: the path of a file with lines `token user`, or `table:NAME` or `table:SCHEMA.NAME`, a table or view in the database with the columns `token` and `owner`.',
  },
  {
    name: 'JWT_SECRET',
    default: null,
    unset: 'none',
    description:
      'Accepts JWTs signed with this secret (HS256, HS384, HS512). Their `sub` is the user. At least 32 bytes.',
  },
  {
    name: 'JWT_JWKS_URL',
    default: null,
    unset: 'none',
    description:
      'Accepts JWTs signed with a key of the JSON Web Key Set at this address (RS, PS, ES, EdDSA). Their `sub` is the user.',
  },
  {
    name: 'CHUNKED_UPLOADER_IDENTIFIER_MODE',
    default: null,
    unset: '`user` with AUTH_TOKENS or JWT_*, else `anonymous`',
    description:
      'Whose an upload is: `anonymous` (nobody’s), `user` (the user’s who authenticated; without authentication all requests are refused) or `device` (the same for devices).',
  },
  {
    name: 'DURABILITY',
    default: 'strict',
    description:
      '`strict`: what was acknowledged survives a power cut. `relaxed`: only a crash of processes; faster on slow disks.',
  },
  {
    name: 'ASSEMBLY',
    default: 'background',
    description:
      'When the parts of a final upload become one file: `background` (after the answer), `inline` (before it) or `never`.',
  },
  {
    name: 'EXPIRATION',
    default: '24h',
    description:
      'How long an unfinished upload is kept after its last byte: `90s`, `15m`, `24h`, `7d`, or `never`. A bare number is seconds.',
  },
  {
    name: 'CHUNKED_UPLOADER_EXPIRATION',
    default: null,
    unset: 'EXPIRATION',
    description:
      'How long an unfinished upload of a frago client is kept after it was started; a duration or `never`.',
  },
  {
    name: 'RETAIN_PUBLISHED',
    default: 'forever',
    description:
      'How long after it was published under its filename the server keeps the bytes of an upload; a duration or `forever`. Both are hard links to the same bytes, one file of room, on one file system. `0`: the published file is the only one. Afterwards a download answers 410.',
  },
  {
    name: 'CHUNKED_UPLOADER_CHUNK_UPLOAD_PATH',
    default: null,
    unset: '`DATA_DIR/blobs`',
    description: 'Directory of the uploaded bytes, of all protocols. Made when missing.',
  },
  {
    name: 'CHUNKED_UPLOADER_ASSEMBLED_PATH',
    default: null,
    unset: '`DATA_DIR/assembled`',
    description:
      'Directory in which finished uploads of frago clients appear under their filenames. Best on the file system of the uploaded bytes: elsewhere they are copied.',
  },
  {
    name: 'CHUNKED_UPLOADER_ASSEMBLE_READ_SIZE',
    default: '8MiB',
    description: 'Block in which bytes are copied when a file is assembled, 4KiB to 256MiB.',
  },
  {
    name: 'CHUNKED_UPLOADER_CHECKSUM_TYPE',
    default: 'md5',
    description:
      'Algorithm of the checksum of a finished file where a frago client names none: `md5`, `sha1`, `sha224` to `sha512`, `sha3_224` to `sha3_512`, `blake2b` or `blake2s`.',
  },
  {
    name: 'CHUNKED_UPLOADER_DO_CHECKSUM',
    default: 'true',
    description:
      '`false`: frago clients finish uploads without a checksum, and what they send is not looked at.',
  },
  {
    name: 'MAX_SIZE',
    default: 'none',
    description: 'Most bytes an upload may have: `1000000`, `10GiB` (2^30), `10GB` (10^9), or `none`.',
  },
  {
    name: 'BEHIND_PROXY',
    default: 'false',
    description:
      '`true`: believe `Forwarded` and `X-Forwarded-Host`, `-Proto` and `-Prefix` when making upload URLs. Only behind a proxy that sets them.',
    toggle: true,
  },
  {
    name: 'IDLE_TIMEOUT',
    default: '60s',
    description:
      'How long a request or a download may stand still, 1s to 24d. What arrived before is kept, and the upload can go on.',
  },
] as const satisfies readonly Setting[]

export type SettingName = (typeof SETTINGS)[number]['name']

/** A setting that is known and has no effect, and what happens where it is set. */
interface LaterSetting {
  readonly name: string
  /** `stop` where ignoring it would betray a trust: rows believed to be written. `warn` where something is missing. */
  readonly when: 'stop' | 'warn'
  /** Ends the sentence `NAME …`. */
  readonly because: string
}

const HOOK =
  'has no counterpart here: a model of your own is the hook onUploadRow of openTributary, which runs in the ' +
  'transaction of the upload’s row; unset it'

/** Names that have a meaning elsewhere, or will have one. None of them is ignored in silence. */
export const LATER_SETTINGS: readonly LaterSetting[] = [
  { name: 'CHUNKED_UPLOADER_CHUNK_MODEL', when: 'stop', because: HOOK },
  { name: 'CHUNKED_UPLOADER_UPLOAD_MODEL', when: 'stop', because: HOOK },
]

/** `DATA_DIR` → `--data-dir`. */
export function flagOf(name: string): string {
  return `--${name.toLowerCase().replaceAll('_', '-')}`
}
