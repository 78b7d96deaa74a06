/** What an address below a mount path stands for. */
export interface Route {
  /** Null for the collection. */
  readonly id: string | null
  /** Whether the address ends as frago's do; scripts forget the slash. */
  readonly slash: boolean
}

/** Path templates as OpenAPI writes them, below each mount path. */
export const COLLECTION = '/'
export const UPLOAD = '/{upload_id}/'

/** Any version has an address, though only ours can be there. */
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Null where frago has nothing: other texts in the place of the id, capitals included, are no address. */
export function routeOf(mounts: readonly string[], path: string): Route | null {
  const mount = mounts.find((each) => path === each || path.startsWith(`${each}/`))
  if (mount === undefined) return null
  const rest = path.slice(mount.length)
  if (rest === '' || rest === '/') return { id: null, slash: rest !== '' }
  const slash = rest.endsWith('/')
  const id = rest.slice(1, slash ? -1 : undefined)
  return UUID.test(id) ? { id, slash } : null
}
