-- What is too old, a small batch at a time. What belongs to a run goes with it by its foreign key,
-- audit records aside.

-- name: prune_runs_seals
-- In the transaction of prune_runs, with the same runs. A run waits until its audit records are
-- sealed; their seals stay.
update audit_seals
set pruned_at = cast((julianday('now') - 2440587.5) * 86400000000 as integer)
where audit_id in (
  select id from audit_events
  where run_id in (
    select id from runs
    where status = $1 and updated_slot <= $2 / 10000000 and updated_at < $2
      and id not in (
        select audit_events.run_id from audit_unsealed
        join audit_events on audit_events.id = audit_unsealed.id
        where audit_events.run_id is not null
      )
    order by updated_slot, id
    limit $3
  )
);

-- name: prune_runs_audit
-- In the transaction of prune_runs, with the same runs.
delete from audit_events
where run_id in (
  select id from runs
  where status = $1 and updated_slot <= $2 / 10000000 and updated_at < $2
    and id not in (
      select audit_events.run_id from audit_unsealed
      join audit_events on audit_events.id = audit_unsealed.id
      where audit_events.run_id is not null
    )
  order by updated_slot, id
  limit $3
);

-- name: prune_runs
delete from runs
where id in (
  select id from runs
  where status = $1 and updated_slot <= $2 / 10000000 and updated_at < $2
    and id not in (
      select audit_events.run_id from audit_unsealed
      join audit_events on audit_events.id = audit_unsealed.id
      where audit_events.run_id is not null
    )
  order by updated_slot, id
  limit $3
)
returning id;

-- name: prune_checkpoints_fence
-- In the transaction of prune_checkpoints, with the same runs: nobody who read a failed run's state
-- before may go on with it.
update runs set attempt = attempt + 1
where status = 'failed' and id in (
  select run_id from checkpoints
  join runs on runs.id = run_id
  where checkpoints.created_at < $2
    and runs.updated_at < $2
    and instr(',' || $1 || ',', ',' || runs.status || ',') > 0
  order by checkpoints.created_at, run_id
  limit $3
);

-- name: prune_checkpoints
-- All checkpoints of a run go together: a patch is nothing without its snapshot.
delete from checkpoints
where run_id in (
  select run_id from checkpoints
  join runs on runs.id = run_id
  where checkpoints.created_at < $2
    and runs.updated_at < $2
    and instr(',' || $1 || ',', ',' || runs.status || ',') > 0
  order by checkpoints.created_at, run_id
  limit $3
)
returning run_id;

-- name: prune_continuations
delete from human_tasks
where id in (
  select id from human_tasks where settled_at < $1 order by settled_at limit $2
)
returning id;

-- name: prune_audit_seals
-- In the transaction of prune_audit, with the same records.
update audit_seals
set pruned_at = cast((julianday('now') - 2440587.5) * 86400000000 as integer)
where audit_id in (
  select id from audit_events
  where created_at < $1 and exists (select 1 from audit_seals where audit_id = audit_events.id)
  order by created_at, id
  limit $2
);

-- name: prune_audit
-- Only what has a seal goes, and its seal says so.
delete from audit_events
where id in (
  select id from audit_events
  where created_at < $1 and exists (select 1 from audit_seals where audit_id = audit_events.id)
  order by created_at, id
  limit $2
)
returning id;

-- name: prune_idempotency
delete from idempotency_records
where (principal, scope, key) in (
  select principal, scope, key from idempotency_records
  where created_at < $1
    -- Without a response the run itself answers repeats, until it has ended.
    and (
      response is not null
      or not exists (
        select 1 from runs
        where id = run_id and status not in ('completed', 'failed', 'cancelled', 'expired', 'timed_out')
      )
    )
  order by created_at
  limit $2
)
returning key;
