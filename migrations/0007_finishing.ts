import type { Knex } from 'knex'

/** Digests of whole contents, finishing an upload of chunks, publishing it. Lock order: see 0005. */
export async function up(knex: Knex, s: string): Promise<void> {
  await knex.raw(`
-- The lock keeps apart those who take a turn and those who change the content: a turn taken before the change goes
-- with it, and one taken after sees it.
create function ${s}.take_digest(p_channel text, p_id uuid, p_algorithm text, p_epoch bigint) returns jsonb
language plpgsql as $$
declare
  u ${s}.uploads;
  d ${s}.digests;
  v_token bigint;
begin
  if not ${s}.alive(p_epoch) then return '{"outcome": "lapsed"}'; end if;
  select * into u from ${s}.uploads where id = p_id for no key update;
  if not found or ${s}.status_now(u) = 'expired' then return null; end if;
  if u.status = 'complete' and u.digest_algorithm = p_algorithm then
    return jsonb_build_object('outcome', 'known', 'bytes', encode(u.digest_bytes, 'hex'));
  end if;
  select * into d from ${s}.digests where upload_id = p_id and algorithm = p_algorithm;
  if d.bytes is not null then
    return jsonb_build_object('outcome', 'known', 'bytes', encode(d.bytes, 'hex'));
  end if;
  if d.epoch <> p_epoch and ${s}.alive(d.epoch) then
    -- Whoever has the turn may be waiting for bytes that are there by now.
    perform pg_notify(p_channel, 'digest ' || p_id);
    return '{"outcome": "elsewhere"}';
  end if;
  insert into ${s}.digests (upload_id, algorithm, epoch) values (p_id, p_algorithm, p_epoch)
    on conflict (upload_id, algorithm) do update
    set token = excluded.token, epoch = excluded.epoch, taken_at = excluded.taken_at
    returning token into v_token;
  return jsonb_build_object('outcome', 'ours', 'token', v_token);
end $$;

-- Makes a gapless upload complete. Of a call whose answer was lost nothing tells the repetition from another caller's:
-- those who finish an upload at the same time share the turn of its digest. So only one answer ever says "first".
create function ${s}.complete_chunks(
  p_channel text, p_id uuid, p_owner text, p_protocol text, p_algorithm text, p_bytes bytea, p_token bigint,
  p_publish_as text, p_epoch bigint
) returns jsonb language plpgsql as $$
declare
  u ${s}.uploads;
  blobs uuid[];
  pieces ${s}.extents[];
begin
  select * into u from ${s}.uploads where id = p_id and owner is not distinct from p_owner for no key update;
  if not found then return '{"outcome": "unknown"}'; end if;
  if u.protocol <> p_protocol then
    return jsonb_build_object('outcome', 'protocol', 'protocol', u.protocol);
  end if;
  if ${s}.status_now(u) = 'expired' then return '{"outcome": "expired"}'; end if;
  if u.status = 'complete' then
    return jsonb_build_object('outcome', 'complete', 'first', false,
      'upload', ${s}.describe(u));
  end if;
  if u.length is distinct from (${s}.describe(u)->>'offset')::bigint then return '{"outcome": "gaps"}'; end if;
  if p_token is not null then
    update ${s}.digests set bytes = p_bytes, epoch = null
      where upload_id = p_id and algorithm = p_algorithm and token = p_token and (bytes is null or bytes = p_bytes);
    if not found then return '{"outcome": "changed"}'; end if;
  elsif p_algorithm is not null and not exists (
    select from ${s}.digests where upload_id = p_id and algorithm = p_algorithm and bytes = p_bytes) then
    return '{"outcome": "changed"}';
  end if;
  perform pg_notify(p_channel, 'yield ' || token) from ${s}.claims where upload_id = p_id;
  delete from ${s}.claims where upload_id = p_id;
  blobs := ${s}.blobs_of(p_id);
  perform ${s}.lock_blobs(blobs);
  -- Pieces that follow each other in the upload and in their blob are one.
  pieces := array(
    with lying as (
      select start, least(stop, u.length) as stop, blob_id, blob_offset,
        lag(blob_id) over w = blob_id and lag(blob_offset + stop - start) over w = blob_offset as goes_on
      from ${s}.extents where upload_id = p_id and start < u.length window w as (order by start)),
    runs as (select *, count(*) filter (where goes_on is not true) over (order by start) as run from lying)
    select row(p_id, min(start), max(stop), (array_agg(blob_id))[1], min(blob_offset))::${s}.extents
    from runs group by run);
  delete from ${s}.extents where upload_id = p_id;
  insert into ${s}.extents select * from unnest(pieces);
  perform ${s}.doom(blobs);
  delete from ${s}.received where upload_id = p_id;
  if u.length > 0 then insert into ${s}.received (upload_id, start, stop) values (p_id, 0, u.length); end if;
  update ${s}.uploads set status = 'complete', completed_at = clock_timestamp(), expires_at = null,
    digest_algorithm = p_algorithm, digest_bytes = p_bytes where id = p_id;
  -- The upload has its digest now. Turns for others go on: their content does not change any more.
  delete from ${s}.digests where upload_id = p_id and (bytes is not null or algorithm = p_algorithm);
  if cardinality(pieces) > 1 then insert into ${s}.assemblies (upload_id) values (p_id); end if;
  if p_publish_as is not null then
    insert into ${s}.publications (upload_id, filename, epoch, taken_at)
    values (p_id, p_publish_as, p_epoch, clock_timestamp());
  end if;
  perform pg_notify(p_channel, 'handed ' || p_id);
  return jsonb_build_object('outcome', 'complete', 'first', true, 'upload', ${s}.describe(p_id));
end $$;

create function ${s}.describe(p ${s}.publications) returns jsonb language sql stable as $$
  select jsonb_build_object('upload_id', p.upload_id, 'filename', p.filename, 'name', p.name, 'identity', p.identity)
$$;

create function ${s}.take_publication(p_id uuid, p_epoch bigint) returns jsonb language plpgsql as $$
declare p ${s}.publications;
begin
  if not ${s}.alive(p_epoch) then return '{"outcome": "lapsed"}'; end if;
  if not exists (select from ${s}.publications where upload_id = p_id) then return null; end if;
  select * into p from ${s}.publications where upload_id = p_id for no key update skip locked;
  -- Somebody is publishing it at this moment, or taking it away.
  if not found then return '{"outcome": "elsewhere"}'; end if;
  if p.doomed_at is not null then return null; end if;
  if p.published_at is not null then return '{"outcome": "done"}'; end if;
  if p.epoch <> p_epoch and ${s}.alive(p.epoch) then return '{"outcome": "elsewhere"}'; end if;
  update ${s}.publications set epoch = p_epoch, taken_at = clock_timestamp() where upload_id = p_id;
  return jsonb_build_object('outcome', 'ours', 'publication', ${s}.describe(p), 'upload', ${s}.describe(p_id));
end $$;

-- The first half of publishing. Both rows stay locked while the files are placed, so that who takes one of the uploads
-- away waits, and then knows the name its file has.
create function ${s}.begin_publishing(p_id uuid) returns jsonb language plpgsql as $$
declare
  p ${s}.publications;
  h ${s}.publications;
begin
  select * into p from ${s}.publications where upload_id = p_id for no key update;
  if not found or p.doomed_at is not null then return null; end if;
  if p.published_at is not null then
    return jsonb_build_object('outcome', 'done', 'upload', ${s}.describe(p_id), 'by', p.published_by);
  end if;
  -- One that is doomed has the name until its file was removed, and must be found under its next one.
  select * into h from ${s}.publications where name = p.filename and upload_id <> p_id
    order by published_at desc limit 1 for no key update;
  return jsonb_build_object('outcome', 'place', 'holder', case when h.upload_id is not null then ${s}.describe(h) end);
end $$;

create function ${s}.end_publishing(
  p_channel text, p_id uuid, p_name text, p_identity text, p_holder uuid, p_holder_name text, p_epoch bigint
) returns jsonb language plpgsql as $$
begin
  update ${s}.publications set name = p_holder_name where upload_id = p_holder and p_holder_name is not null;
  update ${s}.publications set name = p_name, identity = p_identity, published_at = clock_timestamp(), epoch = null,
    published_by = p_epoch where upload_id = p_id;
  perform pg_notify(p_channel, 'handed ' || p_id);
  return ${s}.describe(p_id);
end $$;

create function ${s}.release_published(p_retain interval, p_limit int) returns jsonb language plpgsql as $$
declare
  -- A clock that goes on would be asked for each row, and bound no index.
  v_due timestamptz := clock_timestamp() - p_retain;
  v_id uuid;
  blobs uuid[];
  released int := 0;
  gone jsonb := '[]';
begin
  for v_id in select u.id from ${s}.publications p join ${s}.uploads u on u.id = p.upload_id
    where p.published_at <= v_due and p.released_at is null and p.doomed_at is null
    order by p.published_at limit p_limit for no key update of u skip locked
  loop
    -- Another may have come between the look and the lock.
    continue when not exists (
      select from ${s}.publications where upload_id = v_id and released_at is null and doomed_at is null);
    perform from ${s}.assemblies where upload_id = v_id for update;
    blobs := ${s}.blobs_of(v_id);
    perform ${s}.lock_blobs(blobs);
    delete from ${s}.assemblies where upload_id = v_id;
    delete from ${s}.extents where upload_id = v_id;
    delete from ${s}.received where upload_id = v_id;
    gone := gone || ${s}.doom(blobs);
    update ${s}.publications set released_at = clock_timestamp() where upload_id = v_id;
    released := released + 1;
  end loop;
  return jsonb_build_object('count', released, 'unreferenced', gone);
end $$;

create or replace function ${s}.terminate(p_channel text, p_id uuid, p_owner text) returns jsonb language plpgsql as $$
declare
  u ${s}.uploads;
  p ${s}.publications;
  v_upload jsonb;
  finals jsonb;
  blobs uuid[];
  gone jsonb;
begin
  select * into u from ${s}.uploads where id = p_id and owner is not distinct from p_owner for update;
  if not found then return null; end if;
  v_upload := ${s}.describe(u);
  finals := ${s}.expire_waiting(p_id);
  perform pg_notify(p_channel, 'yield ' || token) from ${s}.claims where upload_id = p_id;
  perform pg_notify(p_channel, 'handed ' || p_id);
  delete from ${s}.digests where upload_id = p_id;
  -- Or an assembler could take a target that nobody would doom.
  perform from ${s}.assemblies where upload_id = p_id for update;
  blobs := ${s}.blobs_of(p_id);
  perform ${s}.lock_blobs(blobs);
  delete from ${s}.uploads where id = p_id;
  gone := ${s}.doom(blobs);
  -- Waits for whoever publishes it at this moment.
  select * into p from ${s}.publications where upload_id = p_id for update;
  if p.published_at is null then
    delete from ${s}.publications where upload_id = p_id;
  else
    update ${s}.publications set doomed_at = clock_timestamp(), epoch = null where upload_id = p_id;
  end if;
  return jsonb_build_object('upload', v_upload, 'finals', finals, 'unreferenced', gone,
    'published', case when p.published_at is not null then ${s}.describe(p) end);
end $$;

create or replace function ${s}.expire_due(p_limit int) returns jsonb language plpgsql as $$
declare
  v_now timestamptz := clock_timestamp();
  u ${s}.uploads;
  blobs uuid[];
  ended jsonb := '[]';
  gone jsonb := '[]';
begin
  for u in select * from ${s}.uploads d
    where d.expires_at <= v_now and d.status <> 'expired' and not ${s}.held(d.id)
      and (d.status = 'in_progress' or (d.kind = 'partial' and not ${s}.awaited(d.id)))
    order by d.expires_at limit p_limit for update skip locked
  loop
    -- A claim or a final may have come between the look and the lock.
    continue when ${s}.held(u.id) or (u.status = 'complete' and ${s}.awaited(u.id));
    update ${s}.uploads set status = 'expired', expires_at = null, prefix = 0 where id = u.id;
    ended := ended || ${s}.describe(u.id) || ${s}.expire_waiting(u.id);
    delete from ${s}.digests where upload_id = u.id;
    blobs := ${s}.blobs_of(u.id);
    perform ${s}.lock_blobs(blobs);
    delete from ${s}.claims where upload_id = u.id;
    delete from ${s}.extents where upload_id = u.id;
    delete from ${s}.received where upload_id = u.id;
    gone := gone || ${s}.doom(blobs);
  end loop;
  return jsonb_build_object('uploads', ended, 'unreferenced', gone);
end $$;
`)
}
