-- name: job_count
select
  count(*) filter (where lease_expires_at is null or lease_expires_at <= now()) as queued,
  count(*) filter (where lease_expires_at > now()) as running
from jobs
where kind = 'run';

-- name: server_durability
-- What a commit is worth on this server.
select name, setting from pg_settings where name in ('fsync', 'synchronous_commit');
