import { dd } from './dd.mjs'
import { frago } from './frago.mjs'
import { nginx } from './nginx.mjs'
import { oneNode, threeNodes } from './nodes.mjs'
import { rustus } from './rustus.mjs'
import { sink } from './sink.mjs'
import { tributary, tributaryS3, tributaryStrict } from './tributary.mjs'
import { tusServer, tusServerS3 } from './tus-server.mjs'
import { tusd, tusdS3 } from './tusd.mjs'

/** In the order in which they are shown: what is measured, what speaks the same protocols, and what nobody can beat. */
export const peers = [
  ...[tributary, tributaryStrict, tusd, rustus, tusServer, frago, nginx, sink, dd],
  ...[tributaryS3, tusdS3, tusServerS3],
  ...[oneNode, threeNodes],
]
