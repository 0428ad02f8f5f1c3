-- Work that waits. The database's clock judges due times and leases.

-- name: run_claim
-- Leases runs that are ready and sets them running. Both rows are locked without waiting, so that
-- a claim and a commit cannot hold what the other needs.
with ready as materialized (
  select
    jobs.run_id, jobs.kind, jobs.subject, greatest(jobs.due_at, jobs.lease_expires_at) as since
  from jobs
  join runs on runs.id = jobs.run_id
  where jobs.kind = 'run'
    and jobs.due_at <= now()
    and (jobs.lease_expires_at is null or jobs.lease_expires_at <= now())
    and (jobs.claims >= $4::integer) = $5::boolean
    and jobs.run_id <> all (string_to_array($6, ','))
    -- Not a status that an index answers: the walk shall be over the jobs, in their order.
    and runs.status || '' in ('queued', 'running')
  order by jobs.due_at
  limit $3
  for update of jobs, runs skip locked
),
leased as (
  update jobs set
    lease_owner = $1,
    lease_expires_at = now() + $2::interval,
    claims = jobs.claims + 1
  from ready
  where jobs.run_id = ready.run_id and jobs.kind = ready.kind and jobs.subject = ready.subject
  returning jobs.run_id, jobs.claims, ready.since
),
taken as (
  update runs set
    attempt = runs.attempt + 1,
    status = 'running',
    started_at = coalesce(runs.started_at, now())
  from leased
  where runs.id = leased.run_id
  returning runs.*, leased.claims, leased.since
)
select * from taken order by since;

-- name: due_claim
-- Leases jobs of the other kinds that fell due.
with ready as materialized (
  select run_id, kind, subject from jobs
  where kind not in ('run', 'dead')
    and kind || '' = any (string_to_array($4, ','))
    and due_at <= now()
    and (lease_expires_at is null or lease_expires_at <= now())
  order by due_at
  limit $3
  for update skip locked
)
update jobs set lease_owner = $1, lease_expires_at = now() + $2::interval
from ready
where jobs.run_id = ready.run_id and jobs.kind = ready.kind and jobs.subject = ready.subject
returning jobs.run_id, jobs.kind, jobs.subject, jobs.due_at;

-- name: run_postpone
-- Gives a run back to the queue. Its row is locked first, as every commit does.
with held as materialized (
  select id from runs where id = $2 for update
),
free as (
  update jobs set
    lease_owner = null,
    lease_expires_at = null,
    due_at = now() + $3::interval,
    claims = greatest(claims - 1, 0)
  from held
  where kind = 'run' and subject = '' and run_id = held.id and lease_owner = $1
  returning run_id
)
update runs set
  status = 'queued',
  -- One that has no checkpoint was claimed, but not begun.
  started_at = case when checkpoint_sequence > 0 then started_at end
from free
where runs.id = free.run_id and runs.status = 'running'
returning runs.id;

-- name: job_list
select
  run_id,
  case
    when kind = 'dead' then 'dead'
    when lease_expires_at > now() then 'leased'
    when due_at > now() then 'later'
    else 'ready'
  end as state,
  due_at, claims, lease_owner, lease_expires_at
from jobs;

-- name: work_hint
-- Tells waiting workers of other processes. A hint may be lost, so it waits for no disk.
select set_config('synchronous_commit', 'off', true), pg_notify('kneo_work', '');
