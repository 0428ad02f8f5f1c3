-- Work that waits, as both databases understand it.

-- name: job_drop
delete from jobs where run_id = $1 and kind = $2 and subject = $3 returning run_id;

-- name: runs_held
select run_id from jobs where lease_owner = $1 and kind = 'run';
