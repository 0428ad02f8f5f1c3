-- The chain of audit records. A sealer holds the row of audit_sealer while it adds to the chain.

-- name: sealer_look
-- $1: who asks; $2: how much of its lease must be left.
select
  coalesce(holder = $1 and lease_expires_at > now() + $2::interval, false) as ours,
  coalesce(holder <> $1 and lease_expires_at > now(), false) as others,
  exists (select from audit_unsealed) as waiting,
  coalesce(number, 0) as number,
  coalesce(exported_number, 0) as exported_number
from (values (1)) as one (id)
left join audit_sealer using (id);

-- name: sealer_take
-- Whoever finds the row locked leaves it alone. `number` is past every seal, also past one that did
-- not come from a sealer.
with free as materialized (
  select id from audit_sealer
  where id = 1
    and (holder is null or holder = $1 or lease_expires_at is null or lease_expires_at <= now())
  for update skip locked
)
update audit_sealer set holder = $1, lease_expires_at = now() + $2::interval
from free
where audit_sealer.id = free.id
returning
  greatest(number, (select coalesce(max(audit_seals.number), 0) from audit_seals)) as number,
  digest;

-- name: seal_batch
-- Takes records out of audit_unsealed. One that was sealed before is passed over; of one that has
-- been removed only the id is left.
with taken as materialized (
  delete from audit_unsealed
  where ctid = any (array(select ctid from audit_unsealed limit $1))
  returning created_at, id
)
select
  taken.created_at, taken.id as audit_id, audit_events.id, event_type, run_id, continuation_id,
  actor, metadata
from taken
left join audit_events on audit_events.created_at = taken.created_at and audit_events.id = taken.id
where not exists (select from audit_seals where audit_seals.audit_id = taken.id)
order by taken.created_at, taken.id;

-- name: seal_write
with new_seals as (
  insert into audit_seals (number, audit_id, created_at, content_digest, digest, sealed_at)
  select given.*, now()
  from unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::bytea[], $5::bytea[])
    as given (number, audit_id, created_at, content_digest, digest)
)
update audit_sealer set number = $6, digest = $7 where id = 1;

-- name: audit_append
-- Records of acts that change no run.
with new_audit as (
  insert into audit_events (
    id, event_type, run_id, continuation_id, actor, metadata, created_at
  )
  select * from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::json[], $7::timestamptz[]
  )
  returning created_at, id
)
insert into audit_unsealed (created_at, id) select created_at, id from new_audit;
