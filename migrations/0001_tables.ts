import type { Knex } from 'knex'

/** The tables. `s` is the schema, already quoted as an identifier. */
export async function up(knex: Knex, s: string): Promise<void> {
  await knex.raw(`
-- One row per life of a process: a node that misses its lease goes on under a new row, so nothing it claimed before
-- can come back to life.
create table ${s}.nodes (
  epoch bigint generated always as identity primary key,
  -- Who it is, in terms by which another process of the same machine can prove it dead.
  process jsonb not null,
  started_at timestamptz not null default clock_timestamp(),
  -- '-infinity' says that it surely writes no more: stopped in order, or proved dead.
  lease_until timestamptz not null,
  -- From here on nothing can be recorded under this epoch.
  retired_at timestamptz,
  -- Files it left without a row have been removed.
  swept_at timestamptz
);
create index nodes_unswept on ${s}.nodes (epoch) where swept_at is null;

create table ${s}.uploads (
  id uuid primary key,
  owner text,
  kind text not null check (kind in ('whole', 'partial', 'final')),
  protocol text not null check (protocol in ('tus', 'frago')),
  -- Null while deferred. 2^53 - 1 is the largest integer that JSON numbers carry exactly.
  length bigint check (length between 0 and 9007199254740991),
  metadata text,
  filename text,
  status text not null default 'in_progress' check (status in ('in_progress', 'complete', 'expired')),
  digest_algorithm text,
  digest_bytes bytea,
  -- Owner, ordered parts and metadata of a final, hashed: the same request again finds it here.
  final_key bytea unique,
  -- Most bytes a final may have, as was said when it was made: its parts may get their lengths later.
  most bigint,
  created_at timestamptz not null default clock_timestamp(),
  completed_at timestamptz,
  -- The claim whose record completed it, be it its own or a part's.
  completed_by bigint,
  -- Null: never. Not moved while a claim lives; a living claim holds expiry off by itself.
  expires_at timestamptz
) with (fillfactor = 85);
create index uploads_due on ${s}.uploads (expires_at) where expires_at is not null;

-- The truth about bytes: what stands here exists, nothing else does.
create table ${s}.received (
  upload_id uuid not null references ${s}.uploads on delete cascade,
  start bigint not null check (start >= 0),
  stop bigint not null check (stop > start),
  -- The claim that recorded it last: a record whose answer was lost is known again by it.
  token bigint,
  primary key (upload_id, start)
) with (fillfactor = 70);

create table ${s}.blobs (
  id uuid primary key,
  -- The node epoch that made it, part of its address in the byte store.
  epoch bigint not null,
  -- Nothing refers to it and nothing may any more: bytes go next, then this row.
  doomed_at timestamptz
);
create index blobs_doomed on ${s}.blobs (doomed_at) where doomed_at is not null;

-- Where the bytes lie. Extents of an upload follow each other without gap; the last may be open (stop null), and
-- then reaches as far as there are received bytes.
create table ${s}.extents (
  upload_id uuid not null references ${s}.uploads on delete cascade,
  start bigint not null check (start >= 0),
  stop bigint check (stop > start),
  blob_id uuid not null references ${s}.blobs,
  blob_offset bigint not null check (blob_offset >= 0),
  primary key (upload_id, start)
);
create index extents_blob on ${s}.extents (blob_id);

-- Who writes where at this moment. The token fences: what it guards fails once the row is gone.
create table ${s}.claims (
  token bigint generated always as identity primary key,
  upload_id uuid not null references ${s}.uploads on delete cascade,
  range int8range not null,
  append boolean not null,
  epoch bigint not null references ${s}.nodes,
  claimed_at timestamptz not null default clock_timestamp(),
  yield_requested_at timestamptz,
  exclude using gist (upload_id with =, range with &&)
) with (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
create index claims_epoch on ${s}.claims (epoch);

-- Parts of finals, as named. No foreign key to the part: a part may go while the final stays.
create table ${s}.parts (
  final_id uuid not null references ${s}.uploads on delete cascade,
  position int not null,
  part_id uuid not null,
  name text not null,
  -- Where the part begins in the final; null until the final is complete.
  start bigint,
  primary key (final_id, position)
);
create index parts_part on ${s}.parts (part_id);

-- Finals waiting to become one blob, or becoming it.
create table ${s}.assemblies (
  upload_id uuid primary key references ${s}.uploads on delete cascade,
  target uuid references ${s}.blobs,
  copied bigint not null default 0,
  -- The node at work; null: nobody.
  epoch bigint references ${s}.nodes,
  taken_at timestamptz,
  due_at timestamptz not null default clock_timestamp()
);
create index assemblies_due on ${s}.assemblies (due_at);

create table ${s}.locks (
  key text primary key,
  token bigint not null,
  epoch bigint not null references ${s}.nodes,
  locked_at timestamptz not null default clock_timestamp(),
  yield_requested_at timestamptz
);
create sequence ${s}.lock_tokens;
`)
}
