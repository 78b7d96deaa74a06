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
