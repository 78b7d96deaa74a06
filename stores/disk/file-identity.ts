import type { BigIntStats } from 'node:fs'

/**
 * What tells a file from any other of its directory, for years: its inode number and the moment it came into being,
 * as numbers are given again. Not its ctime, which every link, rename and chmod moves; not its device, which many
 * file systems number anew with every mount.
 *
 * Where a file system does not know the moment, it is 0, or the ctime under another name; then the mtime takes its
 * place, which nobody moves who does not write.
 */
export function identityOf({ ino, birthtimeNs, mtimeNs }: BigIntStats): string {
  const born = birthtimeNs > 0n && birthtimeNs < mtimeNs ? birthtimeNs : mtimeNs
  return `${ino}:${born}`
}

/** Whether two looks, one soon after the other, were at the same file. */
export function isSameFile(one: BigIntStats, other: BigIntStats): boolean {
  return one.dev === other.dev && one.ino === other.ino
}
