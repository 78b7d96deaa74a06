import { join } from 'node:path'
import { runTool } from './run-tool.mjs'

export const dd = {
  name: 'dd',
  title: 'dd (no server)',
  speaks: new Set(['file']),
  syncs: false,

  async prepare() {
    const [version] = (await runTool('dd', ['--version'])).split('\n')
    return { version: version.replace(/^dd /, '') }
  },

  async start({ directory }) {
    /** Resolves with the seconds it took. */
    const copy = async (file) => {
      const began = performance.now()
      await runTool('dd', [`if=${file}`, `of=${join(directory, 'copy')}`, 'bs=1M'])
      return (performance.now() - began) / 1000
    }
    return { url: null, roots: [], database: [], copy, stop: async () => undefined }
  },
}
