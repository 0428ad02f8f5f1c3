-- Work that waits. One writer at a time, so nothing needs to be locked.

-- name: run_ready
-- The runs to lease, the longest due first, and since when each of them waits.
with clock as (select cast((julianday('now') - 2440587.5) * 86400000000 as integer) as now)
select jobs.run_id, max(jobs.due_at, coalesce(jobs.lease_expires_at, jobs.due_at)) as since
from jobs
join runs on runs.id = jobs.run_id
where jobs.kind = 'run'
  and jobs.subject = ''
  and jobs.due_at <= (select now from clock)
  and (jobs.lease_expires_at is null or jobs.lease_expires_at <= (select now from clock))
  and (jobs.claims >= $2) = $3
  and instr(',' || $4 || ',', ',' || jobs.run_id || ',') = 0
  and runs.status in ('queued', 'running')
order by jobs.due_at
limit $1;

-- name: run_claim
-- Leases the job of a run that was found ready in the same transaction.
update jobs set
  lease_owner = $1,
  lease_expires_at = cast((julianday('now') - 2440587.5) * 86400000000 as integer) + $2,
  claims = claims + 1
where kind = 'run' and subject = '' and run_id = $3
returning claims;

-- name: run_take
-- Sets a run running whose job was leased in the same transaction.
update runs set
  attempt = attempt + 1,
  status = 'running',
  started_at = coalesce(
    started_at, cast((julianday('now') - 2440587.5) * 86400000000 as integer)
  )
where id = $1
returning *;

-- name: due_claim
-- Leases jobs of the other kinds that fell due.
with clock as (select cast((julianday('now') - 2440587.5) * 86400000000 as integer) as now)
update jobs set lease_owner = $1, lease_expires_at = (select now from clock) + $2
where rowid in (
  select rowid from jobs
  where kind not in ('run', 'dead')
    and instr(',' || $4 || ',', ',' || kind || ',') > 0
    and due_at <= (select now from clock)
    and (lease_expires_at is null or lease_expires_at <= (select now from clock))
  order by due_at
  limit $3
)
returning run_id, kind, subject, due_at;

-- name: run_postpone
update jobs set
  lease_owner = null,
  lease_expires_at = null,
  due_at = cast((julianday('now') - 2440587.5) * 86400000000 as integer) + $3,
  claims = max(claims - 1, 0)
where kind = 'run' and subject = '' and run_id = $2 and lease_owner = $1
returning run_id;

-- name: run_requeue
-- Queues a run whose job was given back in the same transaction. One without checkpoint was
-- claimed, but not begun.
update runs set
  status = 'queued',
  started_at = case when checkpoint_sequence > 0 then started_at end
where id = $1 and status = 'running'
returning id;

-- name: leases_void
-- At the start of the one service that may use the file: whoever held a lease is gone.
update jobs set lease_owner = null, lease_expires_at = null
where lease_owner is not null
returning run_id;

-- name: job_list
with clock as (select cast((julianday('now') - 2440587.5) * 86400000000 as integer) as now)
select
  run_id,
  case
    when kind = 'dead' then 'dead'
    when lease_expires_at > (select now from clock) then 'leased'
    when due_at > (select now from clock) then 'later'
    else 'ready'
  end as state,
  due_at, claims, lease_owner, lease_expires_at
from jobs;
