-- A batch of Changes is one statement and one round trip, put together by stores/postgres/batch.py of
-- those parts that it has rows for: PostgreSQL prepares each part for each execution, also an empty one.
-- A part called "none" stands in for one that is left out and that others read.
-- Each part's rows come as one JSON document, which Python writes ten times faster than the driver
-- writes arrays; $runs stands for the place of the document of that name. What is kept as JSON is a
-- string in it: a nested value could not hold U+0000. No row lands of a run whose fence did not hold,
-- because every part joins `landed`.

-- name: batch_change
change as materialized (
  select * from json_to_recordset($runs::json) as given (
    id text, is_new boolean, fence_statuses text, fence_attempt integer, checkpoint_base integer,
    event_count integer, checkpoint_count integer, status text, attempt integer, plan_digest text,
    target text, agent_name text, workflow_name text, workflow_kind text, environment text,
    session_id text, input_text text, output_text text, current_step_id text, current_node_id text,
    error_text text, source text, detail text, created_at timestamptz, updated_at timestamptz,
    started_at timestamptz, completed_at timestamptz, deadline_at timestamptz
  )
)

-- name: batch_created
created as (
  insert into runs (
    id, status, attempt, plan_digest, target, agent_name, workflow_name, workflow_kind,
    environment, session_id, input_text, output_text, current_step_id, current_node_id,
    event_sequence, checkpoint_sequence, error_text, source, detail, created_at, updated_at,
    updated_slot, started_at, completed_at, deadline_at
  )
  select
    id, status, attempt, plan_digest, target, agent_name, workflow_name, workflow_kind,
    environment, session_id, input_text, output_text, current_step_id, current_node_id,
    event_count, checkpoint_count, error_text, source::json, detail::json, created_at, updated_at,
    floor(extract(epoch from updated_at) / 10)::integer, started_at, completed_at, deadline_at
  from change
  where is_new
  on conflict (id) do nothing
  returning id, event_sequence, checkpoint_sequence
)

-- name: batch_created_none
created as (
  select null::text as id, null::integer as event_sequence, null::integer as checkpoint_sequence
  where false
)

-- name: batch_moved
moved as (
  update runs set
    status = change.status,
    attempt = change.attempt,
    agent_name = change.agent_name,
    workflow_name = change.workflow_name,
    workflow_kind = change.workflow_kind,
    environment = change.environment,
    session_id = change.session_id,
    output_text = change.output_text,
    current_step_id = change.current_step_id,
    current_node_id = change.current_node_id,
    event_sequence = runs.event_sequence + change.event_count,
    checkpoint_sequence = runs.checkpoint_sequence + change.checkpoint_count,
    error_text = change.error_text,
    detail = change.detail::json,
    updated_at = change.updated_at,
    updated_slot = floor(extract(epoch from change.updated_at) / 10)::integer,
    started_at = change.started_at,
    completed_at = change.completed_at,
    deadline_at = change.deadline_at
  from change
  where not change.is_new
    and runs.id = change.id
    and runs.status = any (string_to_array(change.fence_statuses, ','))
    and (change.fence_attempt is null or runs.attempt = change.fence_attempt)
    -- A patch is of use on the state that it was made for only; a commit whose reply was lost
    -- cannot land twice; and no column may go back to before a step.
    and runs.checkpoint_sequence = change.checkpoint_base
  returning runs.id, runs.event_sequence, runs.checkpoint_sequence
)

-- name: batch_moved_none
moved as (
  select null::text as id, null::integer as event_sequence, null::integer as checkpoint_sequence
  where false
)

-- name: batch_landed
landed as materialized (
  select id, event_sequence, checkpoint_sequence from created
  union all
  select id, event_sequence, checkpoint_sequence from moved
)

-- name: batch_events
-- A run's events and checkpoints carry each one's distance to its run's last ("behind", 0 for the
-- last), since the counters are known here only.
new_events as (
  insert into events (run_id, sequence, id, type, occurred_at, data)
  select
    landed.id, landed.event_sequence - given.behind, given.id, type, occurred_at, data::json
  from json_to_recordset($events::json)
    as given (run_id text, behind integer, id text, type text, occurred_at timestamptz, data text)
  join landed on landed.id = given.run_id
)

-- name: batch_checkpoints
new_checkpoints as (
  insert into checkpoints (
    run_id, sequence, id, type, workflow_name, step_id, node_id, iteration, patch, snapshot,
    metadata, created_at
  )
  select
    landed.id, landed.checkpoint_sequence - given.behind, given.id, type, workflow_name, step_id,
    node_id, iteration, patch::json, snapshot::json, metadata::json, created_at
  from json_to_recordset($checkpoints::json) as given (
    run_id text, behind integer, id text, type text, workflow_name text, step_id text, node_id text,
    iteration integer, patch text, snapshot text, metadata text, created_at timestamptz
  )
  join landed on landed.id = given.run_id
)

-- name: batch_plans
new_plans as (
  insert into plans (digest, content)
  select given.digest, decode(given.content, 'base64')
  from json_to_recordset($plans::json) as given (run_id text, digest text, content text)
  join landed on landed.id = given.run_id
  on conflict (digest) do nothing
)

-- name: batch_tasks
new_tasks as (
  insert into human_tasks (
    run_id, id, status, workflow_kind, created_at, expires_at, escalated_at, body
  )
  select
    landed.id, given.id, status, workflow_kind, created_at, expires_at, escalated_at, body::json
  from json_to_recordset($tasks::json) as given (
    run_id text, id text, status text, workflow_kind text, created_at timestamptz,
    expires_at timestamptz, escalated_at timestamptz, body text
  )
  join landed on landed.id = given.run_id
)

-- name: batch_jobs
new_job as materialized (
  select
    landed.id as run_id, kind, subject,
    coalesce(due_at, now() + make_interval(secs => due_in)) as due_at, lease_owner,
    make_interval(secs => lease_for) as lease_for
  from json_to_recordset($jobs::json) as given (
    run_id text, kind text, subject text, due_at timestamptz, due_in float8, lease_owner text,
    lease_for float8
  )
  join landed on landed.id = given.run_id
),
put_jobs as (
  insert into jobs (
    run_id, kind, subject, due_at, lease_owner, lease_expires_at, claims, created_at
  )
  select
    run_id, kind, subject, due_at, lease_owner, now() + lease_for,
    (lease_owner is not null)::integer, now()
  from new_job
  on conflict (run_id, kind, subject) do update set
    due_at = excluded.due_at,
    lease_owner = excluded.lease_owner,
    lease_expires_at = excluded.lease_expires_at,
    claims = excluded.claims
)

-- name: batch_jobs_none
new_job as (
  select null::text as run_id, null::text as kind, null::text as subject where false
)

-- name: batch_cleared
cleared as (
  -- The parts of a statement see the same rows, so a job is either removed or replaced, never both.
  delete from jobs
  using json_to_recordset($cleared::json) as given (
    run_id text, kinds text  -- joined by commas
  )
  join landed on landed.id = given.run_id
  where jobs.run_id = given.run_id
    and jobs.kind = any (string_to_array(given.kinds, ','))
    and not exists (
      select from new_job
      where new_job.run_id = jobs.run_id
        and new_job.kind = jobs.kind
        and new_job.subject = jobs.subject
    )
)

-- name: batch_audit
new_audit as (
  insert into audit_events (
    id, event_type, run_id, continuation_id, actor, metadata, created_at
  )
  select given.id, event_type, given.run_id, continuation_id, actor, metadata::json, created_at
  from json_to_recordset($audit::json) as given (
    change_id text, id text, event_type text, run_id text, continuation_id text, actor text,
    metadata text, created_at timestamptz
  )
  join landed on landed.id = given.change_id
  returning created_at, id
),
new_unsealed as (
  insert into audit_unsealed (created_at, id) select created_at, id from new_audit
)

-- name: batch_end
-- Returns the runs whose fence held, with their new counters.
select id, event_sequence, checkpoint_sequence from landed;

-- name: run_lock
-- Takes the run's row first, so that commits of one run wait here and not crosswise.
select id from runs where id = $1 for update;

-- name: leases_renew
-- A lease that expired while nobody took it is renewed too: after an outage of the database its
-- holders go on. The rows are locked in the order in which each part of a commit writes them.
with held as materialized (
  select run_id, kind, subject
  from jobs
  where lease_owner = $1
    and kind = 'run'
    and run_id = any ($3::text[])
  order by run_id, kind, subject
  for update
)
update jobs set lease_expires_at = now() + $2::interval
from held
where jobs.run_id = held.run_id and jobs.kind = held.kind and jobs.subject = held.subject
returning jobs.run_id;
