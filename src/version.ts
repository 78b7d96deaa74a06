import { createRequire } from 'node:module'

/** By its own name, so that it is found from the sources, from `dist`, and where it is installed. */
const { version } = createRequire(import.meta.url)('tus-tributary/package.json') as { version: string }

export const VERSION = version
