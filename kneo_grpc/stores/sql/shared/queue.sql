-- Work that waits, as both databases understand it.

-- name: job_drop
-- One that was put anew meanwhile falls due at another time and stays.
delete from jobs
where run_id = $1 and kind = $2 and subject = $3 and due_at = $4
returning run_id;

-- name: runs_held
select run_id from jobs where lease_owner = $1 and kind = 'run';
