-- How often a run's job was taken without the run getting on: a run that takes its workers down is
-- found by it.
alter table jobs add column claims integer not null default 0;

-- Each kind of look walks an index of its own: running and dead jobs are due for ever, and would
-- stand in the way of timers.
drop index jobs_by_due;
create index jobs_of_runs on jobs (due_at) where kind = 'run';
create index jobs_dead on jobs (due_at) where kind = 'dead';
create index jobs_timed on jobs (due_at) where kind not in ('run', 'dead');

-- What ages.
create index checkpoints_by_creation on checkpoints (created_at);
create index audit_events_by_creation on audit_events (created_at);
create index idempotency_records_by_creation on idempotency_records (created_at);
create index human_tasks_by_settlement on human_tasks (settled_at) where settled_at is not null;

-- What goes with its run.
create index audit_events_by_run on audit_events (run_id) where run_id is not null;
