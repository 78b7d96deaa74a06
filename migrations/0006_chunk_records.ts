import type { Knex } from 'knex'

/** Recording chunks, replacing them, and forgetting those whose bytes are gone. Lock order: see 0005. */
export async function up(knex: Knex, s: string): Promise<void> {
  await knex.raw(`
create or replace function ${s}.record_range(
  p_channel text, p_id uuid, p_token bigint, p_stop bigint, p_expiration interval
) returns jsonb language plpgsql as $$
declare
  u ${s}.uploads;
  c ${s}.claims;
  finals jsonb := '[]';
  completed boolean := false;
begin
  select * into u from ${s}.uploads where id = p_id for no key update;
  if not found then return '{"outcome": "unknown"}'; end if;
  delete from ${s}.claims where token = p_token and upload_id = p_id and not replaces returning * into c;
  if not found then return ${s}.recorded_before(u, p_token, p_stop); end if;
  if not c.append and p_stop > upper(c.range) then raise exception 'a record beyond its claim'; end if;
  if p_stop > lower(c.range) then
    insert into ${s}.received (upload_id, start, stop, token)
    values (p_id, case when c.append then 0 else lower(c.range) end, p_stop, p_token)
    on conflict (upload_id, start) do update set stop = excluded.stop, token = excluded.token;
  end if;
  completed := c.append and u.status = 'in_progress' and u.length is not null and p_stop = u.length;
  if completed then
    update ${s}.uploads set status = 'complete', completed_at = clock_timestamp(), completed_by = p_token,
      expires_at = case when kind = 'partial' then clock_timestamp() + p_expiration end where id = p_id;
    if u.kind = 'partial' then finals := ${s}.complete_waiting(p_id, p_token, p_expiration); end if;
  elsif c.append and p_stop > lower(c.range) then
    update ${s}.uploads set expires_at = clock_timestamp() + p_expiration where id = p_id;
  elsif lower(c.range) = u.prefix and p_stop > u.prefix then
    update ${s}.uploads set prefix = ${s}.gapless_end(p_id, p_stop) where id = p_id;
  end if;
  if c.yield_requested_at is not null then perform pg_notify(p_channel, 'handed ' || p_id); end if;
  return jsonb_build_object('outcome', 'recorded', 'completed', completed,
    'upload', ${s}.describe(p_id), 'finals', finals, 'unreferenced', '[]'::jsonb);
end $$;

-- The claim of a replacement is gone. If its record counted and its answer was lost, its blob is in use, and must not
-- be removed by whoever asks.
create function ${s}.replaced_before(u ${s}.uploads, p_token bigint, p_stop bigint, p_blob uuid) returns jsonb
language plpgsql as $$
begin
  if not exists (select from ${s}.received where upload_id = u.id and token = p_token and stop = p_stop)
     and not (u.status = 'complete' and exists (
       select from ${s}.extents where upload_id = u.id and blob_id = p_blob)) then
    return '{"outcome": "lost"}';
  end if;
  return jsonb_build_object('outcome', 'recorded', 'completed', false, 'upload', ${s}.describe(u), 'finals', '[]'::jsonb,
    'unreferenced', (select coalesce(jsonb_agg(jsonb_build_object('id', id, 'epoch', epoch)), '[]')
                     from ${s}.blobs where doomed_by = p_token));
end $$;

-- The chunk that was there before gives way to one in a blob of its own, which gets its row here.
create function ${s}.record_replacement(
  p_channel text, p_id uuid, p_token bigint, p_stop bigint, p_blob uuid, p_epoch bigint
) returns jsonb language plpgsql as $$
declare
  u ${s}.uploads;
  c ${s}.claims;
  v_start bigint;
  v_old bigint;
  replaced uuid[];
  gone jsonb := '[]';
begin
  select * into u from ${s}.uploads where id = p_id for no key update;
  if not found then return '{"outcome": "unknown"}'; end if;
  select * into c from ${s}.claims where token = p_token and upload_id = p_id and replaces;
  if not found then return ${s}.replaced_before(u, p_token, p_stop, p_blob); end if;
  -- The key share keeps the epoch from being retired, and its files from being swept, before this is committed.
  perform from ${s}.nodes where epoch = p_epoch and retired_at is null for key share;
  if not found then return '{"outcome": "lost"}'; end if;
  v_start := lower(c.range);
  if p_stop > upper(c.range) then raise exception 'a record beyond its claim'; end if;
  if p_stop > v_start then
    delete from ${s}.digests where upload_id = p_id;
    delete from ${s}.claims where token = p_token;
    select stop into v_old from ${s}.received where upload_id = p_id and start = v_start;
    replaced := array(select blob_id from ${s}.extents where upload_id = p_id and start < p_stop
                   and (stop is null or stop > v_start));
    perform ${s}.lock_blobs(replaced);
    insert into ${s}.blobs (id, epoch) values (p_blob, p_epoch);
    perform ${s}.lay(p_id, v_start, p_stop, p_blob);
    gone := ${s}.doom(replaced);
    update ${s}.blobs set doomed_by = p_token
      where id = any(replaced) and doomed_at is not null and jsonb_array_length(gone) > 0;
    update ${s}.received set stop = p_stop, token = p_token where upload_id = p_id and start = v_start;
    if v_old <= u.prefix and v_old <> p_stop then
      update ${s}.uploads set prefix = ${s}.gapless_end(p_id, p_stop) where id = p_id;
    end if;
  else
    delete from ${s}.claims where token = p_token;
  end if;
  if c.yield_requested_at is not null then perform pg_notify(p_channel, 'handed ' || p_id); end if;
  return jsonb_build_object('outcome', 'recorded', 'completed', false,
    'upload', ${s}.describe(p_id), 'finals', '[]'::jsonb, 'unreferenced', gone);
end $$;

-- Whether a claim writes to a lost blob, or appends to one that is lost from p_start on.
create function ${s}.meets_lost(c ${s}.claims, p_lost uuid, p_start bigint) returns boolean language sql stable as $$
  select case when c.append then c.range && int8range(p_start, null)
    else exists (select from ${s}.extents e where e.upload_id = c.upload_id and e.blob_id = p_lost
                 and c.range && int8range(e.start, e.stop)) end
$$;

-- The file of a blob is gone: nothing of an upload in progress is promised to lie in it any more. What was to lie there
-- gets a blob without bytes instead. Of a tus upload, all before the first lost byte is kept.
create function ${s}.forget_lost(p_channel text, p_id uuid, p_lost uuid, p_epoch bigint, p_blob uuid) returns jsonb
language plpgsql as $$
declare
  u ${s}.uploads;
  v_start bigint;
  v_first bigint;
begin
  if not ${s}.alive(p_epoch) then return '{"outcome": "lapsed"}'; end if;
  select * into u from ${s}.uploads where id = p_id for no key update;
  if not found or ${s}.status_now(u) <> 'in_progress' then return '{"outcome": "nothing"}'; end if;
  select min(start) into v_start from ${s}.extents where upload_id = p_id and blob_id = p_lost;
  if v_start is null then return '{"outcome": "nothing"}'; end if;
  delete from ${s}.digests where upload_id = p_id;
  -- Whoever writes there, or goes on behind it, would record bytes that are not there.
  perform pg_notify(p_channel, 'yield ' || c.token) from ${s}.claims c
    where c.upload_id = p_id and ${s}.meets_lost(c, p_lost, v_start);
  delete from ${s}.claims c where c.upload_id = p_id and ${s}.meets_lost(c, p_lost, v_start);
  if u.protocol = 'tus' then
    perform ${s}.move_aside(p_id, v_start, null, p_blob, p_epoch);
    delete from ${s}.received where upload_id = p_id and v_start = 0;
    update ${s}.received set stop = v_start, token = null where upload_id = p_id and stop > v_start;
  else
    with gone as (
      delete from ${s}.received r where r.upload_id = p_id and exists (
        select from ${s}.extents e where e.upload_id = p_id and e.blob_id = p_lost
          and r.start < coalesce(e.stop, r.stop) and r.stop > e.start)
      returning r.start)
    select min(start) into v_first from gone;
    update ${s}.uploads set prefix = v_first where id = p_id and v_first < prefix;
    perform ${s}.lock_blobs(array[p_lost]);
    insert into ${s}.blobs (id, epoch) values (p_blob, p_epoch);
    -- At the same places, so that pieces of one blob stay pieces of one.
    update ${s}.extents set blob_id = p_blob where upload_id = p_id and blob_id = p_lost;
    perform ${s}.doom(array[p_lost]);
  end if;
  perform pg_notify(p_channel, 'handed ' || p_id);
  return '{"outcome": "forgotten"}';
end $$;

create or replace function ${s}.create_stored(
  p_epoch bigint, p_blob uuid, p_stored bigint, p_id uuid, p_owner text, p_kind text, p_protocol text,
  p_length bigint, p_metadata text, p_filename text, p_expiration interval
) returns jsonb language plpgsql as $$
declare completed boolean := p_protocol = 'tus' and p_length is not null and p_length = p_stored;
begin
  -- The key share keeps the epoch from being retired, and its files from being swept, before this is committed.
  perform from ${s}.nodes
    where epoch = p_epoch and retired_at is null and lease_until > clock_timestamp() for key share;
  if not found then return null; end if;
  insert into ${s}.uploads
    (id, owner, kind, protocol, length, metadata, filename, status, completed_at, expires_at, prefix)
  values (p_id, p_owner, p_kind, p_protocol, p_length, p_metadata, p_filename,
    case when completed then 'complete' else 'in_progress' end,
    case when completed then clock_timestamp() end,
    case when not completed or p_kind = 'partial' then clock_timestamp() + p_expiration end,
    case when p_protocol = 'frago' then p_stored else 0 end);
  insert into ${s}.blobs (id, epoch) values (p_blob, p_epoch);
  insert into ${s}.extents (upload_id, start, stop, blob_id, blob_offset) values (p_id, 0, null, p_blob, 0);
  if p_stored > 0 then insert into ${s}.received (upload_id, start, stop) values (p_id, 0, p_stored); end if;
  return ${s}.describe(p_id);
end $$;
`)
}
