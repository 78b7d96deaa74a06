/**
 * What takes turns in a work. Mostly that is a peer as it is; a work may also have one under other settings, or a figure
 * to compare with that needs no server at all:
 *
 *   'tusd'
 *   { as: 'tributary sha1', peer: 'tributary', title: 'Tributary, SHA-1', env: { … } }
 *   { as: 'md5sum', title: 'md5sum' }
 *
 * `env` are settings of its server, `nodeFlags` flags of the Node.js that runs it.
 *
 * @param prepared the peers that can be had, by name
 */
export function lanesOf(work, prepared) {
  return work.peers
    .map((entry) => (typeof entry === 'string' ? { as: entry, peer: entry } : entry))
    .filter(({ peer }) => peer === undefined || prepared.has(peer))
    .map((lane) => {
      const peer = prepared.get(lane.peer)
      return { ...lane, peer, title: lane.title ?? peer?.title ?? lane.as }
    })
}

/** The names of the peers that a work wants. */
export function peersOf(work) {
  return work.peers.map((entry) => (typeof entry === 'string' ? entry : entry.peer)).filter(Boolean)
}
