import { spread } from '../measure/spread.mjs'
import { uploadChunked } from './chunks.mjs'
import { headsFor } from './heads.mjs'

const CONNECTIONS = 8

/**
 * The same work for two servers, each { running, list }, in turns: a round that does not count, then those that do. Resolves, by what was
 * done, with how many times as long `other` took as `one` in the rounds: median, minimum and maximum.
 */
export async function alternate(one, other, size, files) {
  const rounds = []
  for (let round = -1; round < size.rounds; round++) {
    const [ours, theirs] = [await look(one, size, files), await look(other, size, files)]
    if (round >= 0) rounds.push({ ours, theirs })
  }
  const ratio = (name) => spread(rounds.map(({ ours, theirs }) => theirs[name] / ours[name]))
  return { head: ratio('head'), chunk: ratio('chunk'), finish: ratio('finish') }
}

async function look({ running, list }, { seconds, chunked }, files) {
  const heads = await headsFor(seconds, running, { list, connections: CONNECTIONS })
  return { head: heads.median, ...(await uploadChunked(running, files, chunked)) }
}
