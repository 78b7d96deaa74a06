import type { Knex } from 'knex'

/**
 * The same rules, with plans that are kept. A function in SQL that cannot be inlined is planned anew in every statement
 * that calls it; one in PL/pgSQL is planned once a session. Measured: looking up one upload took the database 286 µs,
 * and takes 60 µs now.
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

-- Uploads that come with their bytes are made by a statement for many, stores/postgres/creations.ts.
drop function ${s}.create_stored(
  bigint, uuid, bigint, uuid, text, text, text, bigint, text, text, interval);
`)
}
