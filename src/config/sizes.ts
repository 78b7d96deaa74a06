const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
}

/**
 * Bytes, or a number with a unit: `10GiB` is 10 x 2^30, `10GB` is 10 x 10^9, in any case of letters. Null when the
 * text is neither, or when the result is not a whole number of bytes up to 2^53 - 1.
 */
export function parseSize(text: string): number | null {
  const match = /^(\d{1,16}(?:\.\d{1,9})?) ?([kmgt]?i?b)?$/i.exec(text)
  if (match === null) return null
  const bytes = Number(match[1]) * (UNITS[(match[2] ?? 'b').toLowerCase()] ?? Number.NaN)
  return Number.isSafeInteger(bytes) ? bytes : null
}
