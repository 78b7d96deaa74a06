/** Three digits are as many as a benchmark on a machine with other things to do can promise. */
export function figure(value) {
  if (value === undefined || !Number.isFinite(value)) return '–'
  if (value === 0) return '0'
  const digits = 2 - Math.floor(Math.log10(Math.abs(value)))
  return value.toFixed(Math.min(4, Math.max(0, digits)))
}

/** `12.3 (11.0–14.1)`: median, minimum and maximum. */
export function range(spread) {
  if (spread === undefined) return '–'
  const { median, min, max } = spread
  return min === max ? figure(median) : `${figure(median)} (${figure(min)}–${figure(max)})`
}

/** The same, of a ratio. */
export function times(spread) {
  return spread === undefined ? '–' : `${range(spread)} ×`
}
