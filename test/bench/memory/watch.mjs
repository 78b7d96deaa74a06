/**
 * Preloaded into the server: writes into DATA_DIR what its memory was made of when it had most, as process.memoryUsage() says it. Looks
 * twenty times a second.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

export const FILE = 'memory.json'
const EVERY_MS = 50

const directory = process.env.DATA_DIR
let most = 0
const look = () => {
  const usage = process.memoryUsage()
  if (usage.rss <= most) return
  most = usage.rss
  writeFileSync(join(directory, FILE), JSON.stringify(usage))
}
if (directory !== undefined) setInterval(look, EVERY_MS).unref()
