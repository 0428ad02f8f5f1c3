-- The parts of a Change one by one; the values come in the order of stores/changes.py.

-- name: run_insert
insert into runs (
  id, status, attempt, plan_digest, target, agent_name, workflow_name, workflow_kind, environment,
  session_id, input_text, output_text, current_step_id, current_node_id, error_text, source,
  detail, created_at, updated_at, started_at, completed_at, deadline_at, event_sequence,
  checkpoint_sequence, updated_slot
)
values (
  $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
  $22, $23, $24, $19 / 10000000
)
on conflict (id) do nothing
returning event_sequence, checkpoint_sequence;

-- name: run_update
-- Returns nothing when the fence is lost. $25: statuses joined by commas, $26: attempt, $27: the
-- checkpoint sequence that new checkpoints follow on.
update runs set
  status = $2, attempt = $3, agent_name = $6, workflow_name = $7, workflow_kind = $8,
  environment = $9, session_id = $10, output_text = $12, current_step_id = $13,
  current_node_id = $14, error_text = $15, detail = $17, updated_at = $19,
  updated_slot = $19 / 10000000, started_at = $20, completed_at = $21, deadline_at = $22,
  event_sequence = event_sequence + $23, checkpoint_sequence = checkpoint_sequence + $24
where id = $1
  and instr(',' || $25 || ',', ',' || status || ',') > 0
  and ($26 is null or attempt = $26)
  and checkpoint_sequence = $27
returning event_sequence, checkpoint_sequence;

-- name: plan_insert
insert into plans (digest, content) values ($1, $2) on conflict (digest) do nothing;

-- name: event_insert
insert into events (run_id, sequence, id, type, occurred_at, data) values ($1, $2, $3, $4, $5, $6);

-- name: checkpoint_insert
insert into checkpoints (
  run_id, sequence, id, type, workflow_name, step_id, node_id, iteration, patch, snapshot,
  metadata, created_at
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- name: task_insert
insert into human_tasks (run_id, id, status, workflow_kind, created_at, expires_at, escalated_at, body)
values ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: jobs_clear
delete from jobs where run_id = $1 and kind = $2;

-- name: job_put
-- $4: when it is due, null for $5 from now; $7: how long the lease shall last; both in microseconds.
insert into jobs (run_id, kind, subject, due_at, lease_owner, lease_expires_at, claims, created_at)
select
  $1, $2, $3, coalesce($4, clock.now + $5), $6, clock.now + $7, $6 is not null, clock.now
from (select cast((julianday('now') - 2440587.5) * 86400000000 as integer) as now) as clock
where true
on conflict (run_id, kind, subject) do update set
  due_at = excluded.due_at,
  lease_owner = excluded.lease_owner,
  lease_expires_at = excluded.lease_expires_at,
  claims = excluded.claims;

-- name: leases_renew
-- A lease that expired while nobody took it is renewed too: after an outage of the database its
-- holders go on. $3: the run ids as a JSON array.
update jobs
set lease_expires_at = cast((julianday('now') - 2440587.5) * 86400000000 as integer) + $2
where lease_owner = $1
  and kind = 'run'
  and run_id in (select value from json_each($3))
returning run_id;
