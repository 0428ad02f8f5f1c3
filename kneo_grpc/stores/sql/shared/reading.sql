-- Statements that both databases understand. The lists among them are heads: listing.py adds
-- filters, order and page.

-- name: check
select 1 from schema_migrations where version = 1;

-- name: run_load
select * from runs where id = $1;

-- name: run_list
select * from runs;

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
