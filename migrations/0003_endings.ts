import type { Knex } from 'knex'

/** Concatenation, termination, expiry. Lock order: see 0002. */
export async function up(knex: Knex, s: string): Promise<void> {
  await knex.raw(`
-- A waiting final whose part went away can never be finished: it ends, visibly.
create function ${s}.expire_waiting(p_part uuid) returns jsonb language plpgsql as $$
declare
  v_final uuid;
  ended jsonb := '[]';
begin
  for v_final in select id from ${s}.uploads
    where status = 'in_progress' and id in (select final_id from ${s}.parts where part_id = p_part)
    order by id for no key update
  loop
    update ${s}.uploads set status = 'expired', final_key = null, expires_at = null
      where id = v_final and status = 'in_progress';
    if found then ended := ended || ${s}.describe(v_final); end if;
  end loop;
  return ended;
end $$;

create function ${s}.concatenate(
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
  insert into ${s}.parts (final_id, position, part_id, name)
  select p_id, place, part_id, name from unnest(p_parts, p_names) with ordinality as named(part_id, name, place);
  update ${s}.uploads set expires_at = clock_timestamp() + p_expiration
    where id = any(p_parts) and status = 'complete' and expires_at is not null;
  if not waiting then perform ${s}.complete_final(p_id, null, p_expiration); end if;
  return jsonb_build_object('outcome', 'made', 'upload', ${s}.describe(p_id));
end $$;

-- What an upload's going leaves unreferenced. Its blobs are locked first; the caller has locked its row.
create function ${s}.blobs_of(p_id uuid) returns uuid[] language sql stable as $$
  select array(select blob_id from ${s}.extents where upload_id = p_id
               union select target from ${s}.assemblies where upload_id = p_id and target is not null)
$$;

create function ${s}.terminate(p_channel text, p_id uuid, p_owner text) returns jsonb language plpgsql as $$
declare
  u ${s}.uploads;
  v_upload jsonb;
  finals jsonb;
  blobs uuid[];
begin
  select * into u from ${s}.uploads where id = p_id and owner is not distinct from p_owner for update;
  if not found then return null; end if;
  v_upload := ${s}.describe(u);
  finals := ${s}.expire_waiting(p_id);
  perform pg_notify(p_channel, 'yield ' || token) from ${s}.claims where upload_id = p_id;
  perform pg_notify(p_channel, 'handed ' || p_id);
  -- Or an assembler could take a target that nobody would doom.
  perform from ${s}.assemblies where upload_id = p_id for update;
  blobs := ${s}.blobs_of(p_id);
  perform ${s}.lock_blobs(blobs);
  delete from ${s}.uploads where id = p_id;
  return jsonb_build_object('upload', v_upload, 'finals', finals, 'unreferenced', ${s}.doom(blobs));
end $$;

create function ${s}.expire_due(p_limit int) returns jsonb language plpgsql as $$
declare
  u ${s}.uploads;
  blobs uuid[];
  ended jsonb := '[]';
  gone jsonb := '[]';
begin
  for u in select * from ${s}.uploads d
    where d.expires_at <= clock_timestamp() and d.status <> 'expired' and not ${s}.held(d.id)
      and (d.status = 'in_progress' or (d.kind = 'partial' and not ${s}.awaited(d.id)))
    order by d.expires_at limit p_limit for update skip locked
  loop
    -- A claim or a final may have come between the look and the lock.
    continue when ${s}.held(u.id) or (u.status = 'complete' and ${s}.awaited(u.id));
    update ${s}.uploads set status = 'expired', expires_at = null where id = u.id;
    ended := ended || ${s}.describe(u.id) || ${s}.expire_waiting(u.id);
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
