import type { Knex } from 'knex'

/** An object dooms what it covers also where that was being made into one: an assembly that was given up, and done once more. */
export async function up(knex: Knex, s: string): Promise<void> {
  await knex.raw(`
create or replace function ${s}.doom_covered(p_id uuid) returns jsonb language plpgsql as $$
declare gone jsonb;
begin
  with covered as (
    update ${s}.segments old set state = 'doomed' from ${s}.segments young
    where young.id = p_id and old.blob_id = young.blob_id and old.born < young.born and old.state in ('sealed', 'closing')
      and old.start >= young.start and old.stop <= young.stop
    returning old.*)
  select jsonb_agg(jsonb_build_object('id', id, 'blob_id', blob_id, 'blob_epoch', blob_epoch, 'writer', writer,
    'start', start, 'stop', stop, 'upload_id', upload_id, 'part_bytes', part_bytes, 'state', state, 'alive', false))
    into gone from covered;
  return coalesce(gone, '[]');
end $$;
`)
}
