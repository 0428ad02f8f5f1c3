-- What both databases understand of the audit trail. How it is kept: docs/audit.md.

-- name: audit_list
select
  id, event_type, run_id, continuation_id, actor, metadata, created_at,
  (select number from audit_seals where audit_id = audit_events.id) as number,
  (select digest from audit_seals where audit_id = audit_events.id) as digest
from audit_events;

-- name: seal_span
-- The chain behind number $1, with what is left of each record.
select
  audit_seals.number, audit_seals.audit_id, audit_seals.content_digest, audit_seals.digest,
  audit_seals.pruned_at, audit_seals.created_at, audit_events.id, audit_events.event_type,
  audit_events.run_id, audit_events.continuation_id, audit_events.actor, audit_events.metadata
from audit_seals
left join audit_events
  on audit_events.created_at = audit_seals.created_at and audit_events.id = audit_seals.audit_id
where audit_seals.number > $1
order by audit_seals.number
limit $2;

-- name: audit_span
-- The records behind one in the order of time, and whether the chain or a sealer knows them.
select
  page.created_at, page.id,
  audit_seals.number is not null as sealed,
  page.id in (select id from audit_unsealed) as waiting
from (
  select created_at, id from audit_events
  where (created_at, id) > ($1, $2)
  order by created_at, id
  limit $3
) as page
left join audit_seals
  on audit_seals.audit_id = page.id and audit_seals.created_at = page.created_at
order by page.created_at, page.id;

-- name: trail_state
select
  (select number from audit_sealer where id = 1) as number,
  (select digest from audit_sealer where id = 1) as digest,
  (select count(*) from (select 1 from audit_unsealed limit 10000) as counted) as unsealed,
  (select min(created_at) from audit_unsealed) as oldest_unsealed_at;

-- name: sealer_make
-- The row is made when it is first needed: a copy of the data alone brings its own.
insert into audit_sealer (id, number, digest, exported_number) values (1, 0, $1, 0)
on conflict (id) do nothing
returning id;

-- name: sealer_free
update audit_sealer set holder = null, lease_expires_at = null where holder = $1 returning id;

-- name: sealer_exported
update audit_sealer set exported_number = $1 where exported_number < $1 returning id;
