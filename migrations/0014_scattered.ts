import type { Knex } from 'knex'

/**
 * An upload that is complete and lies in several segments waits to become one object, from the same transaction on: who dies then, or is about
 * to stop, leaves it to the others. Parts do not, as what they are parts of will be one.
 */
export async function up(knex: Knex, s: string): Promise<void> {
  await knex.raw(`
create function ${s}.gather_scattered() returns trigger language plpgsql as $$
begin
  if (select count(*) from (select from ${s}.extents e join ${s}.segments s on s.blob_id = e.blob_id
      where e.upload_id = new.id and s.state <> 'doomed' limit 2) few) > 1 then
    insert into ${s}.assemblies (upload_id) values (new.id) on conflict do nothing;
  end if;
  return null;
end $$;

create trigger gather_scattered after update of status on ${s}.uploads for each row
  when (new.status = 'complete' and old.status <> 'complete' and new.kind = 'whole') execute function ${s}.gather_scattered();
`)
}
