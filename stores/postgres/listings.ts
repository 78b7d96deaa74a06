import type { FoundUpload, ListedUpload } from '../../src/upload/ports.js'
import type { UploadId } from '../../src/upload/upload.js'
import { Batch } from './batch.js'
import type { Database } from './database.js'
import { Queue } from './queue.js'
import { fromColumns, toUpload, type UploadColumns, type UploadRow, uploadColumns } from './rows.js'

interface ListedRow {
  readonly upload: UploadRow
  /** Start and stop of each; null where there are none. */
  readonly received: readonly (readonly [number, number])[] | null
}

interface Wanted {
  readonly id: UploadId
  readonly owner: string | null
}

/** Long lists keep a connection, and a core of the database, for a while; short statements are not to wait for them. */
const MOST_LISTS = 2

/** Looks at uploads, in one statement and without a lock. */
export class Listings {
  readonly #database: Database
  readonly #queue = new Queue(MOST_LISTS)
  readonly #finding = new Batch<Wanted, FoundUpload | null>((wanted) => this.#find(wanted))

  constructor(database: Database) {
    this.#database = database
  }

  find(id: UploadId, owner: string | null): Promise<FoundUpload | null> {
    return this.#finding.call({ id, owner })
  }

  async #find(wanted: readonly Wanted[]): Promise<readonly (FoundUpload | null)[]> {
    const { s } = this.#database
    const rows = await this.#database.rows<UploadColumns & { place: string; held: boolean }>(
      'find',
      `select w.place, ${uploadColumns(s)},
         case when u.status = 'in_progress' then ${s}.held(u.id) else false end as held
       from unnest(?::uuid[], ?::text[]) with ordinality as w(id, owner, place)
       join ${s}.uploads u on u.id = w.id and u.owner is not distinct from w.owner`,
      [wanted.map(({ id }) => id), wanted.map(({ owner }) => owner)],
    )
    const found: (FoundUpload | null)[] = wanted.map(() => null)
    for (const row of rows) found[Number(row.place) - 1] = { upload: fromColumns(row), held: row.held }
    return found
  }

  async describe(id: UploadId, owner: string | null): Promise<ListedUpload | null> {
    const { s } = this.#database
    const [row] = await this.#database.rows<ListedRow>(
      'describe',
      `select ${s}.describe(u) as upload, ${received(s, 'u')} as received
       from ${s}.uploads u where u.id = ? and u.owner is not distinct from ?::text`,
      [id, owner],
    )
    return row ? toListed(row) : null
  }

  async list(owner: string | null, limit: number): Promise<readonly ListedUpload[]> {
    const { s } = this.#database
    const rows = await this.#queue.run(() =>
      this.#database.rows<ListedRow & { readonly complete: boolean }>(
        owner === null ? 'list_null' : 'list',
        listSql(s, owner === null),
        owner === null ? [limit, limit] : [owner, owner, limit, owner, owner, limit],
      ),
    )
    const complete = rows.filter((row) => row.complete)
    const others = rows.filter((row) => !row.complete)
    return [...complete, ...others.reverse()].map(toListed)
  }
}

/** Both halves newest first. `is not distinct from` would use no index; an owner and none are two statements. */
export function listSql(s: string, nobody: boolean): string {
  const owned = nobody
    ? 'hashtextextended(owner, 0) is null and owner is null'
    : 'hashtextextended(owner, 0) = hashtextextended(?::text, 0) and owner = ?::text'
  return `select l.complete, ${s}.describe(l.u) as upload, ${received(s, '(l.u)')} as received
    from (
      (select true as complete, completed_at as at, id, u from ${s}.uploads u
       where ${owned} and status = 'complete' and kind in ('whole', 'final')
       order by completed_at desc, id desc limit ?)
      union all
      (select false, created_at, id, u from ${s}.uploads u
       where ${owned} and status <> 'complete' and kind = 'whole'
       order by created_at desc, id desc limit ?)) l
    order by l.complete desc, l.at desc, l.id desc`
}

/** The ranges of a row of uploads that is under way. */
function received(s: string, row: string): string {
  return `case when ${s}.status_now(${row}) = 'in_progress' then
    (select jsonb_agg(jsonb_build_array(r.start, r.stop) order by r.start)
     from ${s}.received r where r.upload_id = ${row}.id) end`
}

function toListed(row: ListedRow): ListedUpload {
  return {
    upload: toUpload(row.upload),
    received: (row.received ?? []).map(([start, stop]) => ({ start, stop })),
  }
}
