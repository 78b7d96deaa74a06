import type { Knex } from 'knex'

/** Where the bytes of blobs lie when they are no files: objects, and multipart uploads that become objects. */
export async function up(knex: Knex, s: string): Promise<void> {
  await knex.raw(`
-- Which deployment this is: part of the address of its objects, so that two databases with one bucket never take each other's.
create table ${s}.deployment (
  id uuid primary key default gen_random_uuid(),
  alone boolean not null default true unique check (alone)
);
insert into ${s}.deployment default values;

create table ${s}.segments (
  id uuid primary key,
  -- No foreign key: bytes come first, and with them this row; the blob's own row may come second.
  blob_id uuid not null,
  blob_epoch bigint not null,
  -- The node epoch that wrote it.
  writer bigint not null,
  start bigint not null check (start >= 0),
  -- Null while parts are still coming.
  stop bigint check (stop > start),
  upload_id text,
  part_bytes bigint,
  state text not null check (state in ('open', 'closing', 'sealed', 'doomed')),
  -- Of two that overlap the younger counts.
  born bigint generated always as identity,
  check ((upload_id is null) = (part_bytes is null)),
  check ((state = 'open') = (stop is null))
);
create index segments_blob on ${s}.segments (blob_id, start);
create index segments_writer on ${s}.segments (writer, id);

create table ${s}.segment_parts (
  segment_id uuid not null references ${s}.segments on delete cascade,
  number int not null check (number > 0),
  bytes bigint not null check (bytes > 0),
  etag text not null,
  checksum text,
  primary key (segment_id, number)
);

-- Dooms what an object covers: bytes that were never recorded. Their rows go when their bytes are gone.
create function ${s}.doom_covered(p_id uuid) returns jsonb language plpgsql as $$
declare gone jsonb;
begin
  with covered as (
    update ${s}.segments old set state = 'doomed' from ${s}.segments young
    where young.id = p_id and old.blob_id = young.blob_id and old.born < young.born and old.state = 'sealed'
      and old.start >= young.start and old.stop <= young.stop
    returning old.*)
  select jsonb_agg(jsonb_build_object('id', id, 'blob_id', blob_id, 'blob_epoch', blob_epoch, 'writer', writer,
    'start', start, 'stop', stop, 'upload_id', upload_id, 'part_bytes', part_bytes, 'state', state, 'alive', false))
    into gone from covered;
  return coalesce(gone, '[]');
end $$;

-- What it covers; null where the epoch of the writer has ended, whose objects without a row are removed. The key share keeps it from ending
-- until this is committed.
create function ${s}.add_segment(
  p_id uuid, p_blob uuid, p_blob_epoch bigint, p_writer bigint, p_start bigint, p_stop bigint, p_upload text, p_part_bytes bigint
) returns jsonb language plpgsql as $$
begin
  perform from ${s}.nodes where epoch = p_writer and retired_at is null for key share;
  if not found then return null; end if;
  insert into ${s}.segments (id, blob_id, blob_epoch, writer, start, stop, upload_id, part_bytes, state)
    values (p_id, p_blob, p_blob_epoch, p_writer, p_start, p_stop, p_upload, p_part_bytes,
      case when p_stop is null then 'open' else 'sealed' end)
    on conflict (id) do nothing;
  return case when p_stop is null then '[]' else ${s}.doom_covered(p_id) end;
end $$;

create function ${s}.seal_segment(p_id uuid) returns jsonb language plpgsql as $$
begin
  update ${s}.segments set state = 'sealed' where id = p_id and state = 'closing';
  if not found then return '[]'; end if;
  delete from ${s}.segment_parts where segment_id = p_id;
  return ${s}.doom_covered(p_id);
end $$;

-- A function, as the parts must be read after the lock was waited for: whoever adds one holds the row in share.
create function ${s}.close_segment(p_id uuid) returns jsonb language plpgsql as $$
declare
  v ${s}.segments;
  v_parts int;
  v_bytes bigint;
begin
  select * into v from ${s}.segments where id = p_id for no key update;
  if not found then return null; end if;
  if v.state = 'doomed' then return null; end if;
  if v.state = 'open' then
    select count(*), sum(bytes) into v_parts, v_bytes
      from (select number, bytes, row_number() over (order by number) as place
            from ${s}.segment_parts where segment_id = p_id) p where number = place;
    if v_parts = 0 then
      delete from ${s}.segments where id = p_id;
      return null;
    end if;
    delete from ${s}.segment_parts where segment_id = p_id and number > v_parts;
    update ${s}.segments set state = 'closing', stop = start + v_bytes where id = p_id returning * into v;
  end if;
  return jsonb_build_object('stop', v.stop, 'parts', coalesce(
    (select jsonb_agg(jsonb_build_object('number', number, 'bytes', bytes, 'etag', etag, 'checksum', checksum) order by number)
     from ${s}.segment_parts where segment_id = p_id), '[]'));
end $$;

-- Deleting a blob looks for assemblies that have it as their target, in each of its rows without this.
create index assemblies_target on ${s}.assemblies (target) where target is not null;
`)
}
