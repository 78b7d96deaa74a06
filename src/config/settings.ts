/** One setting as the help and the README show it. */
export interface Setting {
  /** Environment variable. The flag is the same name in kebab-case: `DATA_DIR`, `--data-dir`. */
  readonly name: string
  /** What an unset variable means, in the notation of the setting itself; null: nothing. */
  readonly default: string | null
  /** What is shown where the default is nothing. */
  readonly unset?: string
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
    name: 'DATA_DIR',
    default: './data',
    description:
      'Directory of the uploaded bytes (`blobs`) and of the embedded database (`postgres`). Made when missing.',
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
    description: 'Where bytes are kept: `disk`. (`s3` is not available yet.)',
  },
  { name: 'TUS_PATH', default: '/files', description: 'Path at which tus clients create uploads.' },
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

/** What happens to a setting of a later version that is set today. */
interface LaterSetting {
  readonly name: string
  /**
   * `stop` where ignoring it would betray a trust: uploads believed to be protected, bytes believed to be
   * elsewhere. `warn` where something is merely missing.
   */
  readonly when: 'stop' | 'warn'
  /** Ends the sentence `NAME …`. */
  readonly because: string
}

const UNPROTECTED =
  'is not available yet, and without it everyone who reaches the server may use every upload; unset it'
const ELSEWHERE = 'is not available yet, and bytes would be stored in DATA_DIR instead; unset it'
const HOOKS = 'has no counterpart here: models are replaced by the events of the library; unset it'
const NOT_YET = 'is not available yet and has no effect'

/** Names that later versions give a meaning. None of them is ignored in silence. */
export const LATER_SETTINGS: readonly LaterSetting[] = [
  { name: 'AUTH_TOKENS', when: 'stop', because: UNPROTECTED },
  { name: 'JWT_SECRET', when: 'stop', because: UNPROTECTED },
  { name: 'JWT_JWKS_URL', when: 'stop', because: UNPROTECTED },
  { name: 'CHUNKED_UPLOADER_CHUNK_UPLOAD_PATH', when: 'stop', because: ELSEWHERE },
  { name: 'CHUNKED_UPLOADER_ASSEMBLED_PATH', when: 'stop', because: ELSEWHERE },
  { name: 'CHUNKED_UPLOADER_CHUNK_MODEL', when: 'stop', because: HOOKS },
  { name: 'CHUNKED_UPLOADER_UPLOAD_MODEL', when: 'stop', because: HOOKS },
  { name: 'CHUNKED_UPLOADER_IDENTIFIER_MODE', when: 'warn', because: NOT_YET },
  { name: 'CHUNKED_UPLOADER_CHECKSUM_TYPE', when: 'warn', because: NOT_YET },
  { name: 'CHUNKED_UPLOADER_DO_CHECKSUM', when: 'warn', because: NOT_YET },
  { name: 'CHUNKED_UPLOADER_EXPIRATION', when: 'warn', because: NOT_YET },
  { name: 'CHUNKED_UPLOADER_ASSEMBLE_READ_SIZE', when: 'warn', because: NOT_YET },
  { name: 'S3_ENDPOINT', when: 'warn', because: NOT_YET },
  { name: 'S3_REGION', when: 'warn', because: NOT_YET },
  { name: 'S3_BUCKET', when: 'warn', because: NOT_YET },
  { name: 'S3_PREFIX', when: 'warn', because: NOT_YET },
  { name: 'FRAGO_PATHS', when: 'warn', because: NOT_YET },
  { name: 'RETAIN_PUBLISHED', when: 'warn', because: NOT_YET },
  { name: 'WORKERS', when: 'warn', because: NOT_YET },
]

/** `DATA_DIR` → `--data-dir`. */
export function flagOf(name: string): string {
  return `--${name.toLowerCase().replaceAll('_', '-')}`
}
