import { readFileSync } from 'node:fs'

/** Ticks a second in /proc/<pid>/stat: part of the kernel's ABI, whatever its own clock does. */
export const USER_HZ = 100

/** What /proc/<pid>/stat, or that of a thread, says after the name, which stands in parentheses and may hold blanks and parentheses itself. */
export function statFields(path) {
  const text = readFileSync(path, 'utf8')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

/** Ticks of a process, or thread, itself, and of children of it that have ended and were waited for. */
export function ticksOf(fields) {
  const [user, system, childrensUser, childrensSystem] = fields.slice(11, 15).map(Number)
  return { user, system, children: childrensUser + childrensSystem }
}
