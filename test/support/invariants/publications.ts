import type { Snapshot } from './snapshot.js'

/** Published files whose rows contradict each other, or the uploads they belong to. */
export function brokenPublications({ publications, uploads }: Snapshot): readonly string[] {
  const statuses = new Map(uploads.map(({ id, status }) => [id, status]))
  const names = new Set<string>()
  return publications.flatMap((publication) => {
    const { upload_id, name, identity, published_at, released_at, doomed_at } = publication
    const broken: string[] = []
    const status = statuses.get(upload_id)
    if ((published_at !== null) !== (name !== null && identity !== null)) broken.push('is published by half')
    if (released_at !== null && published_at === null) broken.push('has no bytes left, and is not published')
    if (doomed_at !== null && status !== undefined) broken.push('doomed, but its upload is there')
    if (doomed_at !== null && published_at === null) broken.push('doomed, but there is no file')
    if (doomed_at === null && status !== 'complete') broken.push(`its upload is ${status ?? 'gone'}`)
    if (name !== null && names.has(name)) broken.push(`another has the name ${name}`)
    if (name !== null) names.add(name)
    return broken.map((sentence) => `publication of ${upload_id}: ${sentence}`)
  })
}
