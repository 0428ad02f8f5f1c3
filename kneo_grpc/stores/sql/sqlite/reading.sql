-- name: job_count
select
  count(*) filter (where lease_expires_at is null or lease_expires_at <= clock.now) as queued,
  count(*) filter (where lease_expires_at > clock.now) as running
from (select cast((julianday('now') - 2440587.5) * 86400000000 as integer) as now) as clock
left join jobs on kind = 'run'
where run_id is not null;
