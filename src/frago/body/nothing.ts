/** Whether a field counts as not given: whatever Python takes for false. The text "0" does not, as forms mean it. */
export function isNothing(value: unknown): boolean {
  if (!value) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}
