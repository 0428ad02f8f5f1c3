-- The chain of audit records. One writer at a time, so nothing needs to be locked.

-- name: sealer_look
-- $1: who asks; $2: how much of its lease must be left.
select
  coalesce(holder = $1 and lease_expires_at > clock.now + $2, false) as ours,
  coalesce(holder <> $1 and lease_expires_at > clock.now, false) as others,
  exists (select 1 from audit_unsealed) as waiting,
  coalesce(number, 0) as number,
  coalesce(exported_number, 0) as exported_number
from (select cast((julianday('now') - 2440587.5) * 86400000000 as integer) as now) as clock
left join audit_sealer on id = 1;

-- name: sealer_take
-- `number` is past every seal, also past one that did not come from a sealer.
update audit_sealer set
  holder = $1,
  lease_expires_at = cast((julianday('now') - 2440587.5) * 86400000000 as integer) + $2
where id = 1
  and (
    holder is null
    or holder = $1
    or lease_expires_at is null
    or lease_expires_at <= cast((julianday('now') - 2440587.5) * 86400000000 as integer)
  )
returning
  max(number, (select coalesce(max(audit_seals.number), 0) from audit_seals)) as number, digest;

-- name: seal_batch
-- A record that was sealed before is passed over; of one that has been removed only the id is left.
select
  taken.created_at, taken.id as audit_id, audit_events.id, event_type, run_id, continuation_id,
  actor, metadata
from (select created_at, id from audit_unsealed order by rowid limit $1) as taken
left join audit_events on audit_events.created_at = taken.created_at and audit_events.id = taken.id
where not exists (select 1 from audit_seals where audit_seals.audit_id = taken.id)
order by taken.created_at, taken.id;

-- name: seal_taken
-- In the transaction of seal_batch, the same records.
delete from audit_unsealed
where rowid in (select rowid from audit_unsealed order by rowid limit $1);

-- name: seal_write
insert into audit_seals (number, audit_id, created_at, content_digest, digest, sealed_at)
values (
  $1, $2, $3, $4, $5, cast((julianday('now') - 2440587.5) * 86400000000 as integer)
);

-- name: seal_end
update audit_sealer set number = $1, digest = $2 where id = 1;

-- name: audit_insert
insert into audit_events (id, event_type, run_id, continuation_id, actor, metadata, created_at)
values ($1, $2, $3, $4, $5, $6, $7);

-- name: audit_unsealed_insert
insert into audit_unsealed (created_at, id) values ($1, $2);

-- name: sealer_void
-- At the start of the one service that may use the file: whoever held the chain is gone.
update audit_sealer set holder = null, lease_expires_at = null where holder is not null;
