import type { Knex } from 'knex'

/** Making one blob of the extents of a final. Lock order: see 0002; the row of an assembly comes after uploads. */
export async function up(knex: Knex, s: string): Promise<void> {
  await knex.raw(`
create function ${s}.take_assembly(p_id uuid, p_epoch bigint, p_blob uuid) returns jsonb language plpgsql as $$
declare
  a ${s}.assemblies;
  v_safe boolean;
  v_length bigint;
begin
  select * into a from ${s}.assemblies
    where (p_id is null or upload_id = p_id)
      and case when epoch is null then due_at <= clock_timestamp() or upload_id = p_id
               else not ${s}.alive(epoch) end
    order by due_at limit 1 for update skip locked;
  if not found then return null; end if;
  select length into v_length from ${s}.uploads where id = a.upload_id;
  -- What a predecessor copied is used only where it surely writes no more: given back, stopped, or proved dead.
  v_safe := a.target is not null and (a.epoch is null or exists (
    select from ${s}.nodes where epoch = a.epoch and lease_until = '-infinity'));
  if not v_safe then
    insert into ${s}.blobs (id, epoch) values (p_blob, p_epoch);
    if a.target is not null then
      perform ${s}.lock_blobs(array[a.target]);
      perform ${s}.doom(array[a.target]);
    end if;
    a.target := p_blob;
    a.copied := 0;
  end if;
  update ${s}.assemblies set epoch = p_epoch, taken_at = clock_timestamp(), target = a.target, copied = a.copied where upload_id = a.upload_id;
  return jsonb_build_object('upload_id', a.upload_id, 'length', v_length, 'copied', a.copied,
    'target', (select jsonb_build_object('id', id, 'epoch', epoch) from ${s}.blobs where id = a.target),
    'extents', (select jsonb_agg(jsonb_build_object('start', e.start, 'stop', coalesce(e.stop, v_length),
        'blob', jsonb_build_object('id', b.id, 'epoch', b.epoch), 'blob_offset', e.blob_offset) order by e.start)
      from ${s}.extents e join ${s}.blobs b on b.id = e.blob_id where e.upload_id = a.upload_id));
end $$;

create function ${s}.finish_assembly(p_id uuid, p_epoch bigint, p_target uuid) returns jsonb language plpgsql as $$
declare
  v_length bigint;
  blobs uuid[];
  part record;
begin
  perform from ${s}.uploads where id in (select part_id from ${s}.parts where final_id = p_id)
    order by id for no key update;
  select length into v_length from ${s}.uploads where id = p_id and status = 'complete' for no key update;
  if not found then return null; end if;
  delete from ${s}.assemblies where upload_id = p_id and epoch = p_epoch and target = p_target;
  if not found then return null; end if;
  blobs := array(select blob_id from ${s}.extents where upload_id = p_id
    union select e.blob_id from ${s}.extents e join ${s}.parts p on p.part_id = e.upload_id where p.final_id = p_id);
  perform ${s}.lock_blobs(blobs || p_target);
  delete from ${s}.extents where upload_id = p_id;
  insert into ${s}.extents values (p_id, 0, v_length, p_target, 0);
  for part in select distinct on (u.id) u.id, u.length, p.start from ${s}.parts p
    join ${s}.uploads u on u.id = p.part_id
    where p.final_id = p_id and u.status = 'complete' and u.length > 0 order by u.id, p.position
  loop
    delete from ${s}.extents where upload_id = part.id;
    insert into ${s}.extents values (part.id, 0, part.length, p_target, part.start);
  end loop;
  return jsonb_build_object('upload', ${s}.describe(p_id), 'unreferenced', ${s}.doom(blobs));
end $$;
`)
}
