import type { Knex } from 'knex'

/**
 * Claiming, recording and describing. Functions rather than statements, because within a function each statement
 * sees what was committed while the row lock was waited for; the parts of one statement all see the time before.
 *
 * Locks are always taken in this order, so that no two transactions wait for each other: uploads (parts before the
 * finals that name them, each by id), claims, blobs (by id), extents.
 */
export async function up(knex: Knex, s: string): Promise<void> {
  await knex.raw(`
create function ${s}.alive(p_epoch bigint) returns boolean language sql stable as $$
  select exists (select from ${s}.nodes where epoch = p_epoch and lease_until > clock_timestamp())
$$;

create function ${s}.held(p_id uuid) returns boolean language sql stable as $$
  select exists (select from ${s}.claims c join ${s}.nodes n using (epoch)
                 where c.upload_id = p_id and n.lease_until > clock_timestamp())
$$;

-- A part that a waiting final names is in use, however long its siblings take.
create function ${s}.awaited(p_id uuid) returns boolean language sql stable as $$
  select exists (select from ${s}.parts p join ${s}.uploads f on f.id = p.final_id
                 where p.part_id = p_id and f.status = 'in_progress')
$$;

-- End of the contiguous prefix. A tus upload has one row that grows; chunks of frago are rows side by side.
create function ${s}.prefix_end(p_id uuid) returns bigint language sql stable as $$
  select coalesce(
    (select upper(run) from
      (select unnest(range_agg(int8range(start, stop))) as run from ${s}.received where upload_id = p_id) runs
     where lower(run) = 0), 0)
$$;

-- Expired by the clock, before any sweep has said so.
create function ${s}.status_now(u ${s}.uploads) returns text language sql stable as $$
  select case
    when u.expires_at is null or u.expires_at > clock_timestamp() or u.status = 'expired' then u.status
    when u.status = 'in_progress' and ${s}.held(u.id) then u.status
    when u.status = 'complete' and (u.kind <> 'partial' or ${s}.awaited(u.id)) then u.status
    else 'expired' end
$$;

create function ${s}.describe(u ${s}.uploads) returns jsonb language sql stable as $$
  select jsonb_build_object(
    'id', u.id, 'owner', u.owner, 'kind', u.kind, 'protocol', u.protocol, 'length', u.length,
    'offset', case when u.status = 'complete' then u.length
                   when u.protocol = 'tus'
                   then coalesce((select stop from ${s}.received where upload_id = u.id and start = 0), 0)
                   else ${s}.prefix_end(u.id) end,
    'metadata', u.metadata, 'filename', u.filename, 'status', ${s}.status_now(u),
    'digest_algorithm', u.digest_algorithm, 'digest_bytes', encode(u.digest_bytes, 'hex'),
    'created_at', extract(epoch from u.created_at) * 1000,
    'completed_at', extract(epoch from u.completed_at) * 1000,
    'expires_at', extract(epoch from u.expires_at) * 1000,
    'part_names', case when u.kind = 'final'
      then (select jsonb_agg(name order by position) from ${s}.parts where final_id = u.id) end)
$$;

create function ${s}.describe(p_id uuid) returns jsonb language sql stable as $$
  select ${s}.describe(u) from ${s}.uploads u where u.id = p_id
$$;

-- Dooms those of the given blobs nothing refers to, and returns them. The caller has locked them, by id, before it
-- took the references away: of two that take the last two references at once, the second then sees both gone.
create function ${s}.doom(p_blobs uuid[]) returns jsonb language plpgsql as $$
declare gone jsonb;
begin
  with doomed as (
    update ${s}.blobs b set doomed_at = clock_timestamp()
    where b.id = any(p_blobs) and not exists (select from ${s}.extents e where e.blob_id = b.id)
    returning b.id, b.epoch)
  select coalesce(jsonb_agg(jsonb_build_object('id', id, 'epoch', epoch)), '[]') into gone from doomed;
  return gone;
end $$;

create function ${s}.lock_blobs(p_blobs uuid[]) returns void language plpgsql as $$
begin
  perform from ${s}.blobs where id = any(p_blobs) order by id for no key update;
end $$;

-- Puts [p_start, p_stop) of an upload into a blob, from its beginning, cutting what lay there before.
create function ${s}.lay(p_id uuid, p_start bigint, p_stop bigint, p_blob uuid) returns void language plpgsql as $$
declare
  old ${s}.extents;
begin
  for old in select * from ${s}.extents
             where upload_id = p_id and (p_stop is null or start < p_stop) and (stop is null or stop > p_start)
             order by start
  loop
    if old.start < p_start then
      update ${s}.extents set stop = p_start where upload_id = p_id and start = old.start;
    else
      delete from ${s}.extents where upload_id = p_id and start = old.start;
    end if;
    if p_stop is not null and (old.stop is null or old.stop > p_stop) then
      insert into ${s}.extents values (p_id, p_stop, old.stop, old.blob_id, old.blob_offset + p_stop - old.start);
    end if;
  end loop;
  insert into ${s}.extents values (p_id, p_start, p_stop, p_blob, 0);
end $$;

-- A waiting final has a length once all its parts have one.
create function ${s}.measure_waiting(p_part uuid) returns void language plpgsql as $$
begin
  perform from ${s}.uploads
    where status = 'in_progress' and id in (select final_id from ${s}.parts where part_id = p_part)
    order by id for no key update;
  update ${s}.uploads f set length = measured.total
  from (select p.final_id, sum(u.length) as total from ${s}.parts p join ${s}.uploads u on u.id = p.part_id
        where p.final_id in (select final_id from ${s}.parts where part_id = p_part)
        group by p.final_id having bool_and(u.length is not null)) measured
  where f.id = measured.final_id and f.status = 'in_progress';
end $$;

-- Whether a part may have that length, by the limits of the finals that wait for it.
create function ${s}.fits_waiting(p_part uuid, p_length bigint) returns boolean language plpgsql as $$
begin
  perform from ${s}.uploads
    where status = 'in_progress' and id in (select final_id from ${s}.parts where part_id = p_part)
    order by id for no key update;
  return not exists (
    select from ${s}.parts p join ${s}.uploads f on f.id = p.final_id left join ${s}.uploads u on u.id = p.part_id
    where f.status = 'in_progress' and f.id in (select final_id from ${s}.parts where part_id = p_part)
    group by f.id, f.most
    having sum(case when p.part_id = p_part then p_length else coalesce(u.length, 0) end) > f.most);
end $$;

create function ${s}.claim_range(
  p_id uuid, p_owner text, p_protocol text, p_start bigint, p_stop bigint, p_declared bigint,
  p_epoch bigint, p_blob uuid
) returns jsonb language plpgsql as $$
declare
  u ${s}.uploads;
  wanted int8range := int8range(p_start, p_stop);
  append boolean := p_protocol = 'tus';
  recorded bigint;
  taken_over boolean;
  e ${s}.extents;
  b ${s}.blobs;
  v_token bigint;
begin
  if not ${s}.alive(p_epoch) then return '{"outcome": "lapsed"}'; end if;
  select * into u from ${s}.uploads where id = p_id and owner is not distinct from p_owner for no key update;
  if not found then return '{"outcome": "unknown"}'; end if;
  if ${s}.status_now(u) = 'expired' then return '{"outcome": "expired"}'; end if;
  if u.kind = 'final' then return '{"outcome": "final"}'; end if;
  if u.protocol <> p_protocol then
    return jsonb_build_object('outcome', 'protocol', 'protocol', u.protocol);
  end if;
  -- Waits for a checkpoint of a holder whose lease is over: it is seen below, or comes too late altogether.
  perform from ${s}.claims where upload_id = p_id and range && wanted order by token for update;
  if exists (select from ${s}.claims c where c.upload_id = p_id and c.range && wanted and ${s}.alive(c.epoch)) then
    return '{"outcome": "held"}';
  end if;
  recorded := case when u.status = 'complete' then u.length
    else coalesce((select stop from ${s}.received where upload_id = p_id and start = 0), 0) end;
  if append and p_start <> recorded then
    return jsonb_build_object('outcome', 'offset', 'offset', recorded);
  end if;
  if u.status = 'complete' then return '{"outcome": "finished"}'; end if;
  if p_declared is not null and p_declared is distinct from u.length then
    if u.length is not null then return jsonb_build_object('outcome', 'declared', 'length', u.length); end if;
    if p_declared < recorded then return jsonb_build_object('outcome', 'short', 'offset', recorded); end if;
    if u.kind = 'partial' and not ${s}.fits_waiting(p_id, p_declared) then return '{"outcome": "too_large"}'; end if;
    update ${s}.uploads set length = p_declared where id = p_id;
    u.length := p_declared;
    if u.kind = 'partial' then perform ${s}.measure_waiting(p_id); end if;
  end if;
  if not append and (p_stop > u.length or exists (
      select from ${s}.received r where r.upload_id = p_id and int8range(r.start, r.stop) && wanted)) then
    return '{"outcome": "conflict"}';
  end if;
  -- Whatever is still claimed here was not handed back: its holder may yet write, so its blob is left to it.
  delete from ${s}.claims where upload_id = p_id and range && wanted;
  taken_over := found;
  select * into e from ${s}.extents where upload_id = p_id and start <= p_start order by start desc limit 1;
  if taken_over or e.upload_id is null then
    if e.upload_id is not null then perform ${s}.lock_blobs(array[e.blob_id]); end if;
    insert into ${s}.blobs (id, epoch) values (p_blob, p_epoch);
    perform ${s}.lay(p_id, case when e.upload_id is null then 0 else p_start end,
      case when append or e.upload_id is null then null else p_stop end, p_blob);
    if e.upload_id is not null then perform ${s}.doom(array[e.blob_id]); end if;
    select * into e from ${s}.extents where upload_id = p_id and start <= p_start order by start desc limit 1;
  end if;
  select * into b from ${s}.blobs where id = e.blob_id;
  insert into ${s}.claims (upload_id, range, append, epoch) values (p_id, wanted, append, p_epoch)
    returning token into v_token;
  return jsonb_build_object('outcome', 'granted', 'token', v_token, 'length', u.length,
    'blob', jsonb_build_object('id', b.id, 'epoch', b.epoch),
    'blob_offset', e.blob_offset + p_start - e.start,
    'fresh', not exists (select from ${s}.received r where r.upload_id = p_id
                         and r.stop > e.start and (e.stop is null or r.start < e.stop)));
end $$;

-- Every part of a final has arrived: its extents are those of its parts, one after the other.
create function ${s}.complete_final(p_id uuid, p_token bigint, p_expiration interval) returns void language plpgsql as $$
declare total bigint; pieces int; blobs uuid[]; locked uuid[] := '{}';
begin
  -- An assembly may be replacing the blobs of a part at this moment; it would doom them without seeing references
  -- that are not committed yet. So they are locked, and looked at again until they are the ones that are locked.
  loop
    blobs := array(select e.blob_id from ${s}.parts p join ${s}.extents e on e.upload_id = p.part_id
                   where p.final_id = p_id);
    exit when blobs <@ locked;
    perform ${s}.lock_blobs(blobs);
    locked := blobs;
  end loop;
  update ${s}.parts p set start = placed.start
  from (select q.position, coalesce(sum(u.length) over (order by q.position) - u.length, 0) as start
        from ${s}.parts q join ${s}.uploads u on u.id = q.part_id where q.final_id = p_id) placed
  where p.final_id = p_id and p.position = placed.position;
  insert into ${s}.extents (upload_id, start, stop, blob_id, blob_offset)
  select p_id, p.start + e.start, p.start + least(coalesce(e.stop, u.length), u.length), e.blob_id, e.blob_offset
  from ${s}.parts p join ${s}.uploads u on u.id = p.part_id join ${s}.extents e on e.upload_id = u.id
  where p.final_id = p_id and e.start < u.length;
  get diagnostics pieces = row_count;
  select sum(u.length) into total from ${s}.parts p join ${s}.uploads u on u.id = p.part_id where p.final_id = p_id;
  update ${s}.uploads set status = 'complete', length = total, completed_at = clock_timestamp(), expires_at = null,
    completed_by = p_token where id = p_id;
  if total > 0 then insert into ${s}.received (upload_id, start, stop) values (p_id, 0, total); end if;
  -- The parts were of use just now. One that another transaction has locked is of use to that one, too.
  update ${s}.uploads set expires_at = clock_timestamp() + p_expiration where id in (
    select id from ${s}.uploads
    where id in (select part_id from ${s}.parts where final_id = p_id) and status = 'complete' and expires_at is not null
    for no key update skip locked);
  if pieces > 1 then insert into ${s}.assemblies (upload_id) values (p_id); end if;
end $$;

-- A part was completed: completes the waiting finals that name it and lack nothing more. Their rows are locked in
-- id order and their parts read after that, so of two parts completed at once the second sees the first.
create function ${s}.complete_waiting(p_part uuid, p_token bigint, p_expiration interval) returns jsonb language plpgsql as $$
declare
  v_final uuid;
  finals jsonb := '[]';
begin
  for v_final in select id from ${s}.uploads
    where status = 'in_progress' and id in (select final_id from ${s}.parts where part_id = p_part)
    order by id for no key update
  loop
    if not exists (select from ${s}.parts p left join ${s}.uploads u on u.id = p.part_id
                   where p.final_id = v_final and u.status is distinct from 'complete')
       and exists (select from ${s}.uploads where id = v_final and status = 'in_progress') then
      perform ${s}.complete_final(v_final, p_token, p_expiration);
      finals := finals || ${s}.describe(v_final);
    end if;
  end loop;
  return finals;
end $$;

-- The claim is gone. Taken over, or recorded by the same call before, whose answer was lost on its way? Then the same
-- answer is due again: nobody has told of it yet.
create function ${s}.recorded_before(u ${s}.uploads, p_token bigint, p_stop bigint) returns jsonb
language plpgsql as $$
begin
  if u.completed_by is distinct from p_token and not exists (
    select from ${s}.received where upload_id = u.id and token = p_token and stop = p_stop) then
    return '{"outcome": "lost"}';
  end if;
  return jsonb_build_object('outcome', 'recorded', 'completed', u.completed_by is not distinct from p_token,
    'upload', ${s}.describe(u),
    'finals', (select coalesce(jsonb_agg(${s}.describe(f)), '[]') from ${s}.uploads f
               where f.completed_by = p_token and f.id in (select final_id from ${s}.parts where part_id = u.id)));
end $$;

create function ${s}.record_range(
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
  delete from ${s}.claims where token = p_token and upload_id = p_id returning * into c;
  if not found then return ${s}.recorded_before(u, p_token, p_stop); end if;
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
  end if;
  if c.yield_requested_at is not null then perform pg_notify(p_channel, 'handed ' || p_id); end if;
  return jsonb_build_object('outcome', 'recorded', 'completed', completed,
    'upload', ${s}.describe(p_id), 'finals', finals);
end $$;

create function ${s}.create_stored(
  p_epoch bigint, p_blob uuid, p_stored bigint, p_id uuid, p_owner text, p_kind text, p_protocol text,
  p_length bigint, p_metadata text, p_filename text, p_expiration interval
) returns jsonb language plpgsql as $$
declare completed boolean := p_length is not null and p_length = p_stored;
begin
  -- The key share keeps the epoch from being retired, and its files from being swept, before this is committed.
  perform from ${s}.nodes
    where epoch = p_epoch and retired_at is null and lease_until > clock_timestamp() for key share;
  if not found then return null; end if;
  insert into ${s}.uploads (id, owner, kind, protocol, length, metadata, filename, status, completed_at, expires_at)
  values (p_id, p_owner, p_kind, p_protocol, p_length, p_metadata, p_filename,
    case when completed then 'complete' else 'in_progress' end,
    case when completed then clock_timestamp() end,
    case when not completed or p_kind = 'partial' then clock_timestamp() + p_expiration end);
  insert into ${s}.blobs (id, epoch) values (p_blob, p_epoch);
  insert into ${s}.extents (upload_id, start, stop, blob_id, blob_offset) values (p_id, 0, null, p_blob, 0);
  if p_stored > 0 then insert into ${s}.received (upload_id, start, stop) values (p_id, 0, p_stored); end if;
  return ${s}.describe(p_id);
end $$;
`)
}
