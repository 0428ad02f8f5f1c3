-- How often a run's job was taken without the run getting on: a run that takes its workers down is
-- found by it.
alter table jobs add column claims integer not null default 0;

-- Each kind of look walks an index of its own: running and dead jobs are due for ever, and would
-- stand in the way of timers.
drop index jobs_by_due;
create index jobs_of_runs on jobs (due_at) where kind = 'run';
create index jobs_dead on jobs (due_at) where kind = 'dead';
create index jobs_timed on jobs (due_at) where kind not in ('run', 'dead');

-- What ages was written in the order of time, so a summary of each range of blocks finds it, and
-- costs a commit next to nothing.
create index checkpoints_by_creation on checkpoints using brin (created_at)
  with (autosummarize = on);
create index audit_events_by_creation on audit_events using brin (created_at)
  with (autosummarize = on);
create index idempotency_records_by_creation on idempotency_records using brin (created_at)
  with (autosummarize = on);
create index human_tasks_by_settlement on human_tasks (settled_at) where settled_at is not null;

-- What goes with its run.
create index human_tasks_by_run on human_tasks (run_id);
create index audit_events_by_run on audit_events (run_id) where run_id is not null;
