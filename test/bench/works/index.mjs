import { checksummed } from './checksummed.mjs'
import { creations } from './creations.mjs'
import { final } from './final.mjs'
import { fragoChunks } from './frago-chunks.mjs'
import { growth } from './growth.mjs'
import { heads } from './heads.mjs'
import { memory } from './memory.mjs'
import { nodesCreations, nodesParts } from './nodes.mjs'
import { oneStream } from './one-stream.mjs'
import { parallelParts } from './parallel-parts.mjs'
import { s3Memory } from './s3-memory.mjs'
import { s3Parallel } from './s3-parallel.mjs'
import { s3Stream } from './s3-stream.mjs'
import { start } from './start.mjs'

/**
 * In the order in which they are done and shown.
 *
 * @typedef {object} Work
 * @property {string} name
 * @property {string | ((size: object) => string)} title
 * @property {string} [notes]         a sentence or two below the title
 * @property {string} unit            of the figure
 * @property {'more' | 'less'} better
 * @property {string[]} [needs]       programs without which it is left out
 * @property {{ smoke: object, full: object }} sizes
 * @property {(string | Lane)[]} peers  who takes turns, see measure/lanes.mjs; others are compared to the lane 'tributary'
 * @property {number} [rounds]        most rounds of it, and none to warm up: one that takes long, or has rounds of its own
 * @property {boolean} [profiles]     whether a look at where the time goes is worth a turn; needs bytes or requests in the sample
 * @property {(size: object) => number} [fills]  bytes that a turn of it puts into files, see measure/touch-memory.mjs
 * @property {boolean} [bare]         starts its servers itself
 * @property {Record<string, string>} [columns]  titles of the extras that are shown
 * @property {(turn: Turn) => Promise<Sample>} measure
 * @property {Target[]} targets       see measure/ratios.mjs
 *
 * @typedef {object} Turn
 * @property {Lane} lane
 * @property {Peer} [peer]
 * @property {Running} [running]      its server, fresh
 * @property {object} size            one of `sizes`
 * @property {Files} files
 * @property {string} tools
 * @property {string} directory       gone after the turn
 *
 * @typedef {object} Sample
 * @property {number} value
 * @property {number} [bytes]         uploaded: CPU time is then shown for a GiB
 * @property {number} [requests]      answered: CPU time is then shown for a request
 * @property {Record<string, number>} [extra]
 */
export const works = [
  oneStream,
  parallelParts,
  final,
  checksummed,
  creations,
  heads,
  fragoChunks,
  memory,
  start,
  growth,
  s3Stream,
  s3Parallel,
  s3Memory,
  nodesParts,
  nodesCreations,
]
