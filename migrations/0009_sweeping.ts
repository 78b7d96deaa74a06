import type { Knex } from 'knex'

/** What is due ends in batches, a statement for all of a batch. Lock order: see 0005. */
export async function up(knex: Knex, s: string): Promise<void> {
  await knex.raw(`
-- Through the index in its order, whatever the statistics say of how many are due: where few are expected, all that are due
-- would be read and sorted again for each batch. Measured with 100,000 due: 9 minutes, of which that took most.
create function ${s}.lock_due(p_limit int) returns uuid[] language plpgsql
set enable_bitmapscan = off set enable_seqscan = off as $$
declare
  -- A clock that goes on would be asked for each row, and bound no index.
  v_now timestamptz := clock_timestamp();
begin
  return array(select d.id from ${s}.uploads d
    where d.expires_at <= v_now and d.status <> 'expired' and not ${s}.held(d.id)
      and (d.status = 'in_progress' or (d.kind = 'partial' and not ${s}.awaited(d.id)))
    order by d.expires_at limit p_limit for update skip locked);
end $$;

create or replace function ${s}.expire_due(p_limit int) returns jsonb language plpgsql as $$
declare
  ids uuid[] := ${s}.lock_due(p_limit);
  v_part uuid;
  blobs uuid[];
  ended jsonb;
begin
  -- A claim or a final may have come between the look and the lock.
  ids := array(select u.id from ${s}.uploads u where u.id = any(ids) and not ${s}.held(u.id)
    and not (u.status = 'complete' and ${s}.awaited(u.id)));
  if cardinality(ids) = 0 then return '{"uploads": [], "unreferenced": []}'; end if;
  update ${s}.uploads set status = 'expired', expires_at = null, prefix = 0 where id = any(ids);
  select jsonb_agg(${s}.describe(u)) into ended from ${s}.uploads u where u.id = any(ids);
  for v_part in select id from ${s}.uploads where id = any(ids) and kind = 'partial' order by id loop
    ended := ended || ${s}.expire_waiting(v_part);
  end loop;
  delete from ${s}.digests where upload_id = any(ids);
  blobs := array(select blob_id from ${s}.extents where upload_id = any(ids)
    union select target from ${s}.assemblies where upload_id = any(ids) and target is not null);
  perform ${s}.lock_blobs(blobs);
  delete from ${s}.claims where upload_id = any(ids);
  delete from ${s}.extents where upload_id = any(ids);
  delete from ${s}.received where upload_id = any(ids);
  return jsonb_build_object('uploads', ended, 'unreferenced', ${s}.doom(blobs));
end $$;
`)
}
