-- The rarer parts of a Change, in the transaction of its other rows.

-- name: task_settle
-- Ends one pending task; returns nothing when somebody else ended it.
update human_tasks
set status = $3, decision = $4, decided_by = $5, settled_at = $6
where id = $2 and run_id = $1 and status = 'pending'
returning id;

-- name: task_restate
-- Changes what a pending task asks and until when; returns nothing when somebody ended it.
update human_tasks set expires_at = $3, escalated_at = $4, body = $5
where id = $2 and run_id = $1 and status = 'pending'
returning id;

-- name: tasks_close
-- Ends every pending task of a run.
update human_tasks set status = $2, settled_at = $3 where run_id = $1 and status = 'pending';

-- name: task_drop
-- Ends a task that nobody needs an answer to any more, unless somebody has ended it.
update human_tasks set status = 'cancelled', settled_at = $3
where id = $2 and run_id = $1 and status = 'pending';

-- name: idempotency_insert
-- Returns nothing when the key was used before.
insert into idempotency_records (principal, scope, key, request_hash, run_id, response, created_at)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (principal, scope, key) do nothing
returning key;

-- name: idempotency_complete
update idempotency_records set response = $4 where principal = $1 and scope = $2 and key = $3;

-- name: service_key_insert
insert into service_keys (name, content) values ($1, $2) on conflict (name) do nothing;

-- name: policy_put
-- Replaces a policy of the version $2, 0 for none; returns nothing when somebody else was faster.
insert into environment_policies as known (environment, version, policy, updated_at)
values ($1, $2 + 1, $3, $4)
on conflict (environment) do update set
  version = excluded.version, policy = excluded.policy, updated_at = excluded.updated_at
  where known.version = $2
returning version;
