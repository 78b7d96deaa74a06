/** The `charset` parameter of a media type; null where there is none. */
export function charsetOf(mediaType: string): string | null {
  const [, quoted, plain] = /;\s*charset\s*=\s*(?:"([^"]*)"|([^\s;]+))/i.exec(mediaType) ?? []
  return quoted ?? plain ?? null
}

/**
 * Text in the given encoding; UTF-8 where none is named, or one nobody knows. A byte order mark is text in UTF-8 and
 * none in UTF-16, as Python has it. Throws a TypeError when it is not text.
 */
export function decode(bytes: Buffer, charset: string | null, fatal: boolean): string {
  const encoding = encodingOf(charset)
  return new TextDecoder(encoding, { fatal, ignoreBOM: encoding === 'utf-8' }).decode(bytes)
}

/** The encoding of a label; UTF-8 where there is none, or one nobody knows. */
export function encodingOf(charset: string | null): string {
  if (charset === null) return 'utf-8'
  try {
    // Python's own spelling of a label that the encoding standard has without the hyphen.
    return new TextDecoder(charset.replace(/^latin[-_]1$/i, 'latin1')).encoding
  } catch {
    // A RangeError: the label is none of the encoding standard's. Django takes UTF-8 then, too.
    return 'utf-8'
  }
}
