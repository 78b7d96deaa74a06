/** Longer names are cut: file systems take 255 bytes, and proxies limit a header line to a few KiB. */
const MOST_CHARACTERS = 200

/** attr-char of RFC 8187 section 3.2.1 is what encodeURIComponent leaves, without these. */
const NOT_ATTR_CHAR = /['()*]/g

/** Control characters, and those that turn text around: `exe.gpj` must not show as something else. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be removed
const UNSHOWABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/**
 * The value of a Content-Disposition header (RFC 6266): an ASCII `filename` for old clients, and `filename*` when
 * the name has more than that. The name is only data: no directories survive, and nothing ends the quotes.
 */
export function contentDisposition(kind: 'inline' | 'attachment', filename: string | null): string {
  const name = baseName(filename ?? '')
  if (name === '') return kind
  const ascii = name.replace(/[^ -~]/gu, '_').replace(/["\\]/g, '_')
  // Some old browsers decode a percent sign in the plain form (RFC 6266, appendix D).
  const plain = ascii.replace(/%/g, '_')
  const quoted = `${kind}; filename="${plain}"`
  return plain === name ? quoted : `${quoted}; filename*=UTF-8''${encodeExtended(name)}`
}

function baseName(filename: string): string {
  const last = filename.split(/[/\\]/).at(-1) ?? ''
  const shown = [
    ...last
      .replace(UNSHOWABLE, '')
      .replace(/\p{Surrogate}/gu, '_')
      .trim(),
  ]
    .slice(0, MOST_CHARACTERS)
    .join('')
  return shown === '.' || shown === '..' ? '' : shown
}

function encodeExtended(name: string): string {
  return encodeURIComponent(name).replace(
    NOT_ATTR_CHAR,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
