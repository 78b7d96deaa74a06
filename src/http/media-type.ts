const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"

/** RFC 9110 section 8.3.1, without what could not stand in a header as it is. */
const MEDIA_TYPE = new RegExp(
  `^${TOKEN}/${TOKEN}(?:[ \\t]*;[ \\t]*${TOKEN}=(?:${TOKEN}|"(?:[ !#-\\[\\]-~]|\\\\[ -~])*"))*$`,
)

export const UNKNOWN_TYPE = 'application/octet-stream'

/**
 * Types a browser may show: they run no script and are parsed by hardened code. Everything else is saved instead.
 * The list of stock @tus/server, and the formats of today that came since.
 */
const SHOWN: ReadonlySet<string> = new Set([
  'text/plain',
  'image/png',
  'image/jpeg',
  'image/gif',
  'image/bmp',
  'image/webp',
  'image/avif',
  'audio/aac',
  'audio/flac',
  'audio/mp4',
  'audio/mpeg',
  'audio/ogg',
  'audio/wav',
  'audio/wave',
  'audio/webm',
  'audio/x-pn-wav',
  'audio/x-wav',
  'video/mp4',
  'video/ogg',
  'video/webm',
  'application/ogg',
])

/** `text` where it is a media type that can stand in a header, else the type of unknown bytes. */
export function mediaTypeOr(text: string | null): string {
  return text !== null && text.length <= 255 && MEDIA_TYPE.test(text) ? text : UNKNOWN_TYPE
}

/** Type and subtype in lower case, without parameters. */
export function essenceOf(mediaType: string): string {
  return (mediaType.split(';', 1)[0] ?? '').trim().toLowerCase()
}

export function mayBeShown(mediaType: string): boolean {
  return SHOWN.has(essenceOf(mediaType))
}
