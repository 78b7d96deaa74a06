import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Missing } from './missing.mjs'

/**
 * Fills a directory of tools, unless an earlier run did so from the same recipe (any text that names what is installed).
 * What an install that was broken off left behind is not used, but removed. Missing when it fails: a toolchain may be too
 * old and a machine offline, and a run without that peer is still worth having.
 */
export async function installOnce(directory, recipe, install) {
  const receipt = join(directory, 'installed')
  if ((await textOf(receipt)) === recipe) return
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true })
  try {
    await install()
  } catch (error) {
    if (error instanceof Missing) throw error
    throw new Missing(`it could not be installed: ${error.message}`, { cause: error })
  }
  await writeFile(receipt, recipe)
}

async function textOf(path) {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}
