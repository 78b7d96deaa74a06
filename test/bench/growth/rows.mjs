/** Of each hundred uploads, in the order in which they stand there. */
const SHARES = { whole: 70, published: 10, partial: 8, final: 2, open: 4, expired: 1, chunked: 5 }

/** Of a chunk. */
const BYTES = 65_536

/**
 * Statements that fill the tables as years of use would: most uploads are finished, each with one blob, one extent and one range; some
 * were assembled from parts, some are published, some have expired; and a few open ones of many chunks make up the ranges. Ids are
 * random and rows lie in the order of their creation, so that neighbours in an index are none on the disk.
 */
export function rowsOf(s, uploads, ranges) {
  const chunked = (uploads * SHARES.chunked) / 100
  const single = uploads - chunked - (uploads * SHARES.expired) / 100
  const chunks = Math.ceil((ranges - single) / chunked)
  // One is missing there.
  const gap = Math.floor(chunks / 2)
  return [
    `create temporary table filling on commit drop as
     select n, ${kindOf('n % 100')} as kind, gen_random_uuid() as id, gen_random_uuid() as blob,
       1048576 + n * 7919 % 16777216 as length, now() - (${uploads} - n) * interval '20 seconds' as at,
       case when n / 100 % 2 = 1 then 'owner ' || n / 200 % 500 end as owner
     from generate_series(0, ${uploads - 1}::bigint) n`,
    'create index on filling (n)',
    // Four parts to a final, of one length.
    `create temporary table filling_parts on commit drop as
     select p.n, p.id, f.id as final, f.blob, f.length, (p.n % 100 - ${before('partial')}) % 4 as position
     from filling p
     join filling f on f.n = p.n - p.n % 100 + ${before('final')} + (p.n % 100 - ${before('partial')}) / 4
     where p.kind = 'partial'`,
    'analyze filling',
    'analyze filling_parts',
    // The whole length of what has one file to itself or with its parts.
    `create temporary view filling_files as
     select *, case kind when 'final' then 4 * length when 'chunked' then ${BYTES}::bigint * ${chunks + 1} else length end as bytes
     from filling where kind <> 'partial'`,
    `insert into ${s}.uploads (id, owner, kind, protocol, length, metadata, filename, status, digest_algorithm,
       digest_bytes, final_key, created_at, completed_at, expires_at, prefix)
     select id, owner, case when kind in ('partial', 'final') then kind else 'whole' end,
       case when kind in ('published', 'chunked') then 'frago' else 'tus' end, coalesce(f.bytes, p.length),
       case when kind in ('whole', 'open') then 'filename ZmlsZS5iaW4=' end, 'file ' || n || '.bin',
       case when kind in ('open', 'chunked') then 'in_progress' when kind = 'expired' then 'expired' else 'complete' end,
       case when kind = 'published' then 'md5' end, case when kind = 'published' then decode(md5(n::text), 'hex') end,
       case when kind = 'final' then sha256(id::text::bytea) end,
       at, case when kind not in ('open', 'chunked', 'expired') then at + interval '10 seconds' end,
       case when kind in ('open', 'chunked', 'partial') then now() + (1 + random()) * interval '24 hours' end,
       case when kind = 'chunked' then ${BYTES} * ${gap} else 0 end
     from filling left join (select n, bytes from filling_files) f using (n)
       left join (select n, length from filling_parts) p using (n) order by n`,
    `insert into ${s}.blobs (id, epoch)
     select blob, (select max(epoch) from ${s}.nodes) from filling_files where kind <> 'expired' order by n`,
    `insert into ${s}.extents (upload_id, start, stop, blob_id, blob_offset)
     select id, 0, case when kind <> 'open' then bytes end, blob, 0 from filling_files where kind <> 'expired' order by n`,
    `insert into ${s}.extents (upload_id, start, stop, blob_id, blob_offset)
     select id, 0, length, blob, length * position from filling_parts order by n`,
    `insert into ${s}.parts (final_id, position, part_id, name, start)
     select final, position + 1, id, '/files/' || id, length * position from filling_parts order by n`,
    `insert into ${s}.received (upload_id, start, stop, token)
     select id, 0, case when kind = 'open' then bytes / 2 else bytes end, n
     from filling_files where kind not in ('chunked', 'expired') order by n`,
    `insert into ${s}.received (upload_id, start, stop, token) select id, 0, length, n from filling_parts order by n`,
    `insert into ${s}.received (upload_id, start, stop, token)
     select id, ${BYTES}::bigint * place, ${BYTES}::bigint * (place + 1), n
     from (select id, n, chunk + case when chunk >= ${gap} then 1 else 0 end as place
           from filling, generate_series(0, ${chunks - 1}) chunk where kind = 'chunked' order by n, chunk) chunks`,
    `insert into ${s}.publications (upload_id, filename, name, identity, published_at, published_by)
     select id, 'file ' || n || '.bin', 'file ' || n || '.bin', n::text, at, 1 from filling where kind = 'published'
     order by n`,
    `insert into ${s}.digests (upload_id, algorithm, bytes)
     select id, 'sha256', sha256(id::text::bytea) from filling where kind = 'chunked' order by n`,
    'drop view filling_files',
  ]
}

function kindOf(n) {
  const cases = Object.keys(SHARES).map((kind) => `when ${n} < ${before(kind) + SHARES[kind]} then '${kind}'`)
  return `case ${cases.join(' ')} end`
}

/** How many of a hundred come before those of a kind. */
function before(kind) {
  const kinds = Object.keys(SHARES)
  return kinds.slice(0, kinds.indexOf(kind)).reduce((sum, other) => sum + SHARES[other], 0)
}
