import type { Knex } from 'knex'

/** A claim goes on in a new blob, where its own can take no more bytes. Lock order: see 0005. */
export async function up(knex: Knex, s: string): Promise<void> {
  await knex.raw(`
-- Whether there was such a claim to append.
create function ${s}.relocate_claim(p_token bigint, p_epoch bigint, p_blob uuid) returns boolean language plpgsql as $$
declare
  v_id uuid;
  v_start bigint;
  old uuid;
begin
  select upload_id into v_id from ${s}.claims where token = p_token and append;
  perform from ${s}.uploads where id = v_id for no key update;
  select lower(range) into v_start from ${s}.claims where token = p_token for update;
  if not found or not ${s}.alive(p_epoch) then return false; end if;
  select blob_id into old from ${s}.extents where upload_id = v_id and start <= v_start order by start desc limit 1;
  perform ${s}.lock_blobs(array[old]);
  insert into ${s}.blobs (id, epoch) values (p_blob, p_epoch);
  perform ${s}.lay(v_id, v_start, null, p_blob);
  perform ${s}.doom(array[old]);
  return true;
end $$;
`)
}
