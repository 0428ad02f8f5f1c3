-- Statements that both databases understand. The lists among them are heads: listing.py adds
-- filters, order and page.

-- name: check
select 1 from schema_migrations where version = 1;

-- name: run_load
select * from runs where id = $1;

-- name: run_list
-- What a summary shows; above all not the source, which may hold a whole spec.
select
  id, status, attempt, plan_digest, target, agent_name, workflow_name, workflow_kind, environment,
  session_id, input_text, output_text, current_step_id, current_node_id, event_sequence,
  checkpoint_sequence, detail, created_at, updated_at, updated_slot, started_at, completed_at,
  deadline_at
from runs;

-- name: plan_load
select content from plans where digest = $1;

-- name: state_load
-- The last snapshot and the patches that follow it: sequences 1, 65, 129 … hold snapshots.
select sequence, patch, snapshot
from checkpoints
where run_id = $1
  and sequence > coalesce((select (checkpoint_sequence - 1) / 64 * 64 from runs where id = $1), 0)
order by sequence;

-- name: state_span
select sequence, patch, snapshot
from checkpoints
where run_id = $1 and sequence between $2 and $3
order by sequence;

-- name: event_list
select id, type, sequence, occurred_at, data from events;

-- name: checkpoint_list
select id, type, sequence, workflow_name, step_id, node_id, iteration, metadata, created_at
from checkpoints;

-- name: task_load
select * from human_tasks where id = $1;

-- name: task_list
select * from human_tasks;

-- name: idempotency_load
select * from idempotency_records where principal = $1 and scope = $2 and key = $3;

-- name: service_key_load
select content from service_keys where name = $1;

-- name: policy_list
select environment, version, policy, updated_at from environment_policies order by environment;
