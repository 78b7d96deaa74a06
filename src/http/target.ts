/**
 * The path and query of a request target. RFC 9112 section 3.2.2: "a server MUST accept the absolute-form in
 * requests even though most HTTP/1.1 clients will only send the absolute-form in requests to proxies"; `*` is
 * for OPTIONS. Null for anything else, which URL parsers further in would throw at.
 */
export function originForm(target: string): string | null {
  if (target.startsWith('/') || target === '*') return target
  if (!/^https?:\/\//i.test(target) || !URL.canParse(target)) return null
  const { pathname, search } = new URL(target)
  return pathname + search
}

/** The path of a request target. A fragment does not belong to one, but raw clients send anything. */
export function pathOf(target: string): string {
  const path = target.replace(/^https?:\/\/[^/?#]*/i, '').split(/[?#]/, 1)[0] ?? ''
  return path === '' ? '/' : path
}

/** What follows the path, with its question mark; empty where nothing does. */
export function queryOf(target: string): string {
  const at = target.indexOf('?')
  return at === -1 ? '' : (target.slice(at).split('#', 1)[0] ?? '')
}
