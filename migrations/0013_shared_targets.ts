import type { Knex } from 'knex'

/** Stores whose assemblers may work on one target at once lose nothing when one of them falls silent. As 0004 has it, but for `p_shared`. */
export async function up(knex: Knex, s: string): Promise<void> {
  await knex.raw(`
drop function ${s}.take_assembly(uuid, bigint, uuid);
create function ${s}.take_assembly(p_id uuid, p_epoch bigint, p_blob uuid, p_shared boolean default false) returns jsonb language plpgsql as $$
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
  -- What a predecessor copied is used only where it surely writes no more: given back, stopped, or proved dead; or where it may go on, as
  -- several make the same of one target.
  v_safe := a.target is not null and (p_shared or a.epoch is null or exists (
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
`)
}
