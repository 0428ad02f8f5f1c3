-- What is too old, a small batch at a time. Rows that others hold are passed over. What goes is
-- found once (`materialized`): a subquery may be run again for each row, and then has no limit.

-- name: prune_runs
-- A run waits until its audit records are sealed; their seals stay.
with unsealed as materialized (
  select audit_events.run_id from audit_unsealed
  join audit_events
    on audit_events.created_at = audit_unsealed.created_at and audit_events.id = audit_unsealed.id
  where audit_events.run_id is not null
),
old as materialized (
  select id from runs
  where status = $1
    and updated_slot <= floor(extract(epoch from $2::timestamptz) / 10)::integer
    and updated_at < $2
    and id not in (select run_id from unsealed)
  order by updated_slot
  limit $3
  for update skip locked
),
gone as (delete from runs using old where runs.id = old.id returning runs.id),
events_gone as (delete from events using gone where run_id = gone.id),
checkpoints_gone as (delete from checkpoints using gone where run_id = gone.id),
tasks_gone as (delete from human_tasks using gone where run_id = gone.id),
jobs_gone as (delete from jobs using gone where run_id = gone.id),
audit_gone as (
  delete from audit_events using gone where run_id = gone.id returning audit_events.id
),
audit_marked as (
  update audit_seals set pruned_at = now() from audit_gone where audit_id = audit_gone.id
)
select id from gone;

-- name: prune_checkpoints
-- All checkpoints of a run go together: a patch is nothing without its snapshot. The attempt of a
-- failed run is raised, so that nobody who read its state before goes on with it.
with old as materialized (
  select run_id from checkpoints
  join runs on runs.id = run_id
  where checkpoints.created_at < $2::timestamptz
    and runs.updated_at < $2
    and runs.status = any (string_to_array($1, ','))
  limit $3
  for update of runs skip locked
),
fenced as (
  update runs set attempt = attempt + 1
  where id in (select run_id from old) and status = 'failed'
)
delete from checkpoints where run_id in (select run_id from old) returning run_id;

-- name: prune_continuations
with old as materialized (
  select id from human_tasks
  where settled_at < $1
  order by settled_at
  limit $2
  for update skip locked
)
delete from human_tasks where id in (select id from old) returning id;

-- name: prune_audit
-- Only what has a seal goes, and its seal says so.
with old as materialized (
  select created_at, id from audit_events
  where created_at < $1 and exists (select from audit_seals where audit_id = audit_events.id)
  order by created_at, id
  limit $2
  for update skip locked
),
marked as (
  update audit_seals set pruned_at = now() from old where audit_id = old.id
)
delete from audit_events using old
where audit_events.created_at = old.created_at and audit_events.id = old.id
returning audit_events.id;

-- name: prune_idempotency
with old as materialized (
  select principal, scope, key from idempotency_records
  where created_at < $1
    -- Without a response the run itself answers repeats, until it has ended.
    and (
      response is not null
      or not exists (
        select from runs
        where id = run_id and status not in ('completed', 'failed', 'cancelled', 'expired', 'timed_out')
      )
    )
  limit $2
  for update skip locked
)
delete from idempotency_records
where (principal, scope, key) in (select principal, scope, key from old)
returning key;
