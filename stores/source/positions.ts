/** The operating system takes a negative position for "wherever the file stands"; others have worse to do with one. */
export function checkPosition(position: number): void {
  if (!Number.isSafeInteger(position) || position < 0) {
    throw new RangeError(`A position in a blob cannot be ${position}.`)
  }
}

/** The same of both ends of `[start, stop)`, which may be empty. */
export function checkRange(start: number, stop: number): void {
  checkPosition(start)
  checkPosition(stop)
  if (start > stop) throw new RangeError(`Cannot read from ${start} to ${stop}.`)
}
