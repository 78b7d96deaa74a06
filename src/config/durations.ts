const UNITS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** A hundred years: more is a typing error, and dates beyond it do not fit everywhere. */
const LONGEST_MS = 36_500 * 86_400_000

/** `90`, `90s`, `15m`, `24h`, `1d` in ms; a bare number is seconds. Null when the text is none of these. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,12})([smhd]?)$/.exec(text)
  if (match === null) return null
  const milliseconds = Number(match[1]) * (UNITS[match[2] || 's'] ?? Number.NaN)
  return milliseconds <= LONGEST_MS ? milliseconds : null
}
