import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { prepareObjects, startObjects } from './objects.mjs'

/** A peer that stores in S3: `start` is also given `objects`, and what it starts ends before the server of the objects. */
export function onObjects({ prepare, start, ...peer }) {
  return {
    ...peer,
    syncs: false,
    async prepare(tools) {
      const objects = await prepareObjects(tools)
      const { version } = await prepare(tools)
      return { version: `${version}, on ${objects}` }
    },
    async start(given) {
      const objects = await startObjects(given)
      try {
        const directory = join(given.directory, 'own')
        await mkdir(directory)
        const running = await start({ ...given, directory, objects })
        const stop = async () => {
          await running.stop()
          await objects.stop()
        }
        return { ...running, stop }
      } catch (error) {
        await objects.stop()
        throw error
      }
    },
  }
}
