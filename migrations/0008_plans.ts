import type { Knex } from 'knex'

/**
 * The same rules, with plans that are kept. A function in SQL that cannot be inlined is planned anew in every statement
 * that calls it; one in PL/pgSQL is planned once a session. Measured: looking up one upload took the database 286 µs,
 * and takes 60 to 90 µs now.
 *
 * Names, arguments and answers stay, so that nodes of the version before go on while one after the other is replaced;
 * `create_stored` (0006) is there for them alone.
 */
export async function up(knex: Knex, s: string): Promise<void> {
  await knex.raw(`
create or replace function ${s}.alive(p_epoch bigint) returns boolean language plpgsql stable as $$
begin
  return exists (select from ${s}.nodes where epoch = p_epoch and lease_until > clock_timestamp());
end $$;

create or replace function ${s}.held(p_id uuid) returns boolean language plpgsql stable as $$
begin
  return exists (select from ${s}.claims c join ${s}.nodes n using (epoch)
                 where c.upload_id = p_id and n.lease_until > clock_timestamp());
end $$;

create or replace function ${s}.awaited(p_id uuid) returns boolean language plpgsql stable as $$
begin
  return exists (select from ${s}.parts p join ${s}.uploads f on f.id = p.final_id
                 where p.part_id = p_id and f.status = 'in_progress');
end $$;

create or replace function ${s}.status_now(u ${s}.uploads) returns text language plpgsql stable as $$
begin
  if u.expires_at is null or u.expires_at > clock_timestamp() or u.status = 'expired' then return u.status; end if;
  if u.status = 'in_progress' and ${s}.held(u.id) then return u.status; end if;
  if u.status = 'complete' and (u.kind <> 'partial' or ${s}.awaited(u.id)) then return u.status; end if;
  return 'expired';
end $$;

-- End of the gapless beginning.
create function ${s}.offset_of(u ${s}.uploads) returns bigint language plpgsql stable as $$
begin
  if u.status = 'complete' then return u.length; end if;
  if u.protocol <> 'tus' then return u.prefix; end if;
  return coalesce((select stop from ${s}.received where upload_id = u.id and start = 0), 0);
end $$;

create or replace function ${s}.describe(u ${s}.uploads) returns jsonb language plpgsql stable as $$
begin
  return jsonb_build_object(
    'id', u.id, 'owner', u.owner, 'kind', u.kind, 'protocol', u.protocol, 'length', u.length,
    'offset', ${s}.offset_of(u),
    'metadata', u.metadata, 'filename', u.filename, 'status', ${s}.status_now(u),
    'digest_algorithm', u.digest_algorithm, 'digest_bytes', encode(u.digest_bytes, 'hex'),
    'created_at', extract(epoch from u.created_at) * 1000,
    'completed_at', extract(epoch from u.completed_at) * 1000,
    'expires_at', extract(epoch from u.expires_at) * 1000,
    'part_names', case when u.kind = 'final'
      then (select jsonb_agg(name order by position) from ${s}.parts where final_id = u.id) end);
end $$;

create or replace function ${s}.describe(p_id uuid) returns jsonb language plpgsql stable as $$
declare u ${s}.uploads;
begin
  select * into u from ${s}.uploads where id = p_id;
  return case when u.id is not null then ${s}.describe(u) end;
end $$;

create or replace function ${s}.describe(p ${s}.publications) returns jsonb language plpgsql stable as $$
begin
  return jsonb_build_object('upload_id', p.upload_id, 'filename', p.filename, 'name', p.name, 'identity', p.identity);
end $$;

create or replace function ${s}.extents_between(p_id uuid, p_start bigint, p_stop bigint) returns jsonb
language plpgsql stable as $$
begin
  return (select coalesce(jsonb_agg(jsonb_build_object(
      'start', greatest(e.start, p_start), 'stop', least(e.stop, p_stop),
      'blob', jsonb_build_object('id', b.id, 'epoch', b.epoch),
      'blob_offset', e.blob_offset + greatest(e.start, p_start) - e.start) order by e.start), '[]')
    from ${s}.extents e join ${s}.blobs b on b.id = e.blob_id
    where e.upload_id = p_id and e.start < p_stop and (e.stop is null or e.stop > p_start));
end $$;

create or replace function ${s}.touches_received(p_id uuid, p_start bigint, p_stop bigint) returns boolean
language plpgsql stable as $$
begin
  return exists (select from ${s}.received where upload_id = p_id and start > p_start and start < p_stop)
    or coalesce((select stop from ${s}.received where upload_id = p_id and start < p_start
                 order by start desc limit 1) > p_start, false);
end $$;

create or replace function ${s}.blobs_of(p_id uuid) returns uuid[] language plpgsql stable as $$
begin
  return array(select blob_id from ${s}.extents where upload_id = p_id
               union select target from ${s}.assemblies where upload_id = p_id and target is not null);
end $$;

create or replace function ${s}.meets_lost(c ${s}.claims, p_lost uuid, p_start bigint) returns boolean
language plpgsql stable as $$
begin
  return case when c.append then c.range && int8range(p_start, null)
    else exists (select from ${s}.extents e where e.upload_id = c.upload_id and e.blob_id = p_lost
                 and c.range && int8range(e.start, e.stop)) end;
end $$;

-- Moves the expiry of parts that are of use just now. By less than a sixteenth of the time it is not worth a row: parts
-- are mostly concatenated as soon as the last of them is there. One that another transaction has locked is of use to that
-- one, too.
create function ${s}.used_parts(p_final uuid, p_expiration interval) returns void language plpgsql as $$
begin
  update ${s}.uploads set expires_at = clock_timestamp() + p_expiration where id in (
    select id from ${s}.uploads
    where id in (select part_id from ${s}.parts where final_id = p_final) and status = 'complete'
      and expires_at is not null
      and (p_expiration is null or expires_at < clock_timestamp() + p_expiration * 15 / 16)
    for no key update skip locked);
end $$;

-- Every part of a final has arrived: its extents are those of its parts, one after the other.
create or replace function ${s}.complete_final(p_id uuid, p_token bigint, p_expiration interval) returns void
language plpgsql as $$
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
  -- Those of a final that never waited have their places.
  update ${s}.parts p set start = placed.start
  from (select q.position, coalesce(sum(u.length) over (order by q.position) - u.length, 0) as start
        from ${s}.parts q join ${s}.uploads u on u.id = q.part_id where q.final_id = p_id) placed
  where p.final_id = p_id and p.position = placed.position and p.start is null;
  insert into ${s}.extents (upload_id, start, stop, blob_id, blob_offset)
  select p_id, p.start + e.start, p.start + least(coalesce(e.stop, u.length), u.length), e.blob_id, e.blob_offset
  from ${s}.parts p join ${s}.uploads u on u.id = p.part_id join ${s}.extents e on e.upload_id = u.id
  where p.final_id = p_id and e.start < u.length;
  get diagnostics pieces = row_count;
  select sum(u.length) into total from ${s}.parts p join ${s}.uploads u on u.id = p.part_id where p.final_id = p_id;
  update ${s}.uploads set status = 'complete', length = total, completed_at = clock_timestamp(), expires_at = null,
    completed_by = p_token where id = p_id;
  if total > 0 then insert into ${s}.received (upload_id, start, stop) values (p_id, 0, total); end if;
  perform ${s}.used_parts(p_id, p_expiration);
  if pieces > 1 then insert into ${s}.assemblies (upload_id) values (p_id); end if;
end $$;

create or replace function ${s}.concatenate(
  p_id uuid, p_key bytea, p_owner text, p_metadata text, p_filename text,
  p_parts uuid[], p_names text[], p_max_size bigint, p_expiration interval
) returns jsonb language plpgsql as $$
declare
  v_existing uuid;
  part ${s}.uploads;
  seen int := 0;
  total numeric;
  unknown boolean;
  waiting boolean;
begin
  -- Before the parts, so that a repeated request is answered even after they are gone.
  select id into v_existing from ${s}.uploads where final_key = p_key;
  if found then
    return jsonb_build_object('outcome', 'repeated', 'upload', ${s}.describe(v_existing));
  end if;
  for part in select * from ${s}.uploads
    where id = any(p_parts) and owner is not distinct from p_owner order by id for no key update
  loop
    seen := seen + 1;
    if part.kind <> 'partial' then
      return jsonb_build_object('outcome', 'not_partial', 'part', array_position(p_parts, part.id));
    end if;
    if ${s}.status_now(part) = 'expired' then
      return jsonb_build_object('outcome', 'expired', 'part', array_position(p_parts, part.id));
    end if;
  end loop;
  if seen < (select count(distinct id) from unnest(p_parts) as id) then
    return jsonb_build_object('outcome', 'unknown', 'part',
      (select min(place) from unnest(p_parts) with ordinality as named(id, place)
       where not exists (select from ${s}.uploads u where u.id = named.id and u.owner is not distinct from p_owner)));
  end if;
  select sum(u.length), bool_or(u.length is null), bool_or(u.status <> 'complete') into total, unknown, waiting
    from unnest(p_parts) as named(id) join ${s}.uploads u using (id);
  if total > least(9007199254740991, p_max_size) then
    return jsonb_build_object('outcome', 'too_large', 'total', total);
  end if;
  insert into ${s}.uploads (id, owner, kind, protocol, length, metadata, filename, final_key, most)
  values (p_id, p_owner, 'final', 'tus', case when not unknown then total end, p_metadata, p_filename, p_key,
    least(9007199254740991, p_max_size))
  on conflict (final_key) do nothing;
  if not found then
    -- The same request ran beside this one and was first.
    return jsonb_build_object('outcome', 'repeated', 'upload',
      (select ${s}.describe(u) from ${s}.uploads u where u.final_key = p_key));
  end if;
  insert into ${s}.parts (final_id, position, part_id, name, start)
  select p_id, place, part_id, name,
    case when not waiting then sum(u.length) over (order by place) - u.length end
  from unnest(p_parts, p_names) with ordinality as named(part_id, name, place) join ${s}.uploads u on u.id = part_id;
  if waiting then perform ${s}.used_parts(p_id, p_expiration);
  elsif not waiting then perform ${s}.complete_final(p_id, null, p_expiration); end if;
  return jsonb_build_object('outcome', 'made', 'upload', ${s}.describe(p_id));
end $$;
`)
}
