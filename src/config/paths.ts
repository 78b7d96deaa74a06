import { mustBe } from './problem.js'
import type { SettingsReader } from './reader.js'

/** Where the protocols are mounted. */
export interface PathsConfig {
  /** TUS_PATH. Default `/files`. Changing it later makes the upload URLs clients remember unknown. */
  readonly tusPath: string
  /** FRAGO_PATHS. Default `/api/upload` and `/upload`. Empty (`none`): there is no facade for clients of frago. */
  readonly fragoPaths: readonly string[]
}

/** Addresses the server answers itself. */
const OWN_PATHS: readonly string[] = ['/healthz', '/readyz', '/openapi.json']

export function readPaths(reader: SettingsReader): PathsConfig {
  const tusPath = reader.read('TUS_PATH', mountPath)
  const fragoPaths = reader.read('FRAGO_PATHS', mountPaths)
  // With a problem in either there is nothing to compare.
  const overlapping = fragoPaths?.filter((path) => tusPath !== null && overlap(path, tusPath)) ?? []
  const config = { tusPath, fragoPaths: Object.freeze(fragoPaths) }
  if (overlapping.length === 0) return config
  const [path] = overlapping
  if (reader.given('FRAGO_PATHS') !== null) {
    reader.problem('FRAGO_PATHS', `must be apart from TUS_PATH, which is ${tusPath}, got ${path}`)
    return config
  }
  reader.warn('FRAGO_PATHS', `${path} is left out of the default, as it would meet TUS_PATH, ${tusPath}`)
  return { tusPath, fragoPaths: Object.freeze(fragoPaths.filter((each) => !overlapping.includes(each))) }
}

function mountPath(text: string): string {
  if (
    !/^(\/[A-Za-z0-9._~-]+)+$/.test(text) ||
    text.split('/').some((part) => part === '.' || part === '..')
  ) {
    throw mustBe(
      'a path such as /files: it begins with /, does not end with one, and has only A-Z a-z 0-9 . _ ~ -',
      text,
    )
  }
  if (OWN_PATHS.some((own) => overlap(own, text))) {
    throw mustBe(`another path than ${OWN_PATHS.join(', ')}`, text)
  }
  return text
}

/** Each may end with the slash that frago's routes end with. */
function mountPaths(text: string): readonly string[] {
  if (text === 'none') return []
  const paths = text.split(',').map((path) => mountPath(path.trim().replace(/(?<=.)\/$/, '')))
  for (const [at, path] of paths.entries()) {
    const other = paths.slice(0, at).find((each) => overlap(each, path))
    if (other !== undefined) throw mustBe(`paths of which none is inside another (${other}, ${path})`, text)
  }
  return paths
}

/** Whether a request below one is also below the other. */
function overlap(one: string, other: string): boolean {
  return one === other || one.startsWith(`${other}/`) || other.startsWith(`${one}/`)
}
