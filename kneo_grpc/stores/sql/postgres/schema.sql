-- What all migrations make together; a test compares. Not used at run time.

create table if not exists schema_migrations (
  version integer primary key,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null
);

-- Text compares by bytes (collate "C"): the same order in every database and locale, and faster.
-- JSON is kept as json, not jsonb: keys keep their order, texts may hold U+0000, and nothing is
-- parsed on the way in beyond a syntax check.
-- Rows name their run without a foreign key: the statement that writes them joins the run that the
-- same statement changed, and the check would lock that run's row once more for each of them.

create table plans (
  digest text collate "C" primary key,
  content bytea not null
);

create table runs (
  id text collate "C" primary key,
  status text collate "C" not null,
  attempt integer not null,
  plan_digest text collate "C" not null,
  target text collate "C" not null,
  agent_name text collate "C",
  workflow_name text collate "C",
  workflow_kind text collate "C",
  environment text collate "C",
  session_id text collate "C",
  input_text text collate "C" not null,
  output_text text collate "C",
  current_step_id text collate "C",
  current_node_id text collate "C",
  event_sequence integer not null,
  checkpoint_sequence integer not null,
  error_text text collate "C",
  source json not null,
  detail json not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  updated_slot integer not null,
  started_at timestamptz,
  completed_at timestamptz,
  deadline_at timestamptz
)
-- Runs that begin together lie in one page and move together: each needs room for its next version
-- beside it, or the update is not heap-only (fillfactor 70: half of them were not).
with (fillfactor = 45);

-- The usual order of a list is updated_at, which every step changes; an index on it would cost
-- each step an entry in every index of the table. updated_slot is the same instant in units of ten
-- seconds: it seldom changes, so a step stays a heap-only update, and a list walks this index
-- and sorts inside a slot.
create index runs_by_update on runs (updated_slot);
create index runs_by_status on runs (status, updated_slot);
create index runs_by_creation on runs (created_at, id);
create index runs_by_workflow on runs (workflow_name, id);
create index runs_by_session on runs (session_id, updated_slot) where session_id is not null;

create table events (
  run_id text collate "C" not null,
  sequence integer not null,
  id text collate "C" not null,
  type text collate "C" not null,
  occurred_at timestamptz not null,
  data json not null,
  primary key (run_id, sequence)
);

create table checkpoints (
  run_id text collate "C" not null,
  sequence integer not null,
  id text collate "C" not null,
  type text collate "C" not null,
  workflow_name text collate "C",
  step_id text collate "C",
  node_id text collate "C",
  iteration integer not null,
  patch json,
  snapshot json,
  metadata json not null,
  created_at timestamptz not null,
  primary key (run_id, sequence),
  check ((patch is null) <> (snapshot is null))
);

create table human_tasks (
  id text collate "C" primary key,
  run_id text collate "C" not null,
  status text collate "C" not null,
  workflow_kind text collate "C" not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  body json not null,
  decision json,
  decided_by text collate "C",
  settled_at timestamptz,
  escalated_at timestamptz
);

create index human_tasks_pending on human_tasks (run_id, id) where status = 'pending';
create index human_tasks_pending_by_creation on human_tasks (created_at, id)
  where status = 'pending';

create table jobs (
  run_id text collate "C" not null,
  kind text collate "C" not null,
  subject text collate "C" not null,
  due_at timestamptz not null,
  lease_owner text collate "C",
  lease_expires_at timestamptz,
  created_at timestamptz not null,
  claims integer not null default 0,
  primary key (run_id, kind, subject)
) with (fillfactor = 70);

create index jobs_of_runs on jobs (due_at) where kind = 'run';
create index jobs_dead on jobs (due_at) where kind = 'dead';
create index jobs_timed on jobs (due_at) where kind not in ('run', 'dead');
create index jobs_by_owner on jobs (lease_owner) where lease_owner is not null;

create table audit_events (
  id text collate "C" not null,
  event_type text collate "C" not null,
  run_id text collate "C",
  continuation_id text collate "C",
  actor text collate "C",
  metadata json not null,
  created_at timestamptz not null,
  primary key (created_at, id)
);

-- What most records are is left out, so that the record of a create costs no further index.
create index audit_events_by_type on audit_events (event_type, created_at, id)
  where event_type not in ('run.created', 'spec.run');

-- Records that have no number yet; each is put here by the transaction that writes it. There is no
-- index, because a sealer takes whatever it finds.
create table audit_unsealed (
  created_at timestamptz not null,
  id text collate "C" not null
);

-- The chain. What retention removes from audit_events stays here, marked.
create table audit_seals (
  number bigint primary key check (number > 0),
  audit_id text collate "C" not null unique,
  created_at timestamptz not null,
  content_digest bytea not null,
  digest bytea not null,
  sealed_at timestamptz not null,
  pruned_at timestamptz
);

-- One row: where the chain ends, and who adds to it.
create table audit_sealer (
  id integer primary key check (id = 1),
  number bigint not null,
  digest bytea not null,
  exported_number bigint not null,
  holder text collate "C",
  lease_expires_at timestamptz
);

create table idempotency_records (
  principal text collate "C" not null,
  scope text collate "C" not null,
  key text collate "C" not null,
  request_hash text collate "C" not null,
  run_id text collate "C",
  response json,
  created_at timestamptz not null,
  primary key (principal, scope, key)
);

-- What ages.
create index checkpoints_by_creation on checkpoints using brin (created_at)
  with (autosummarize = on);
create index idempotency_records_by_creation on idempotency_records using brin (created_at)
  with (autosummarize = on);
create index human_tasks_by_settlement on human_tasks (settled_at) where settled_at is not null;

-- What goes with its run.
create index human_tasks_by_run on human_tasks (run_id);
create index audit_events_by_run on audit_events (run_id) where run_id is not null;

-- What all processes of a service share.
create table service_keys (
  name text collate "C" primary key,
  content bytea not null
);

create table environment_policies (
  environment text collate "C" primary key,
  version integer not null,
  policy json not null,
  updated_at timestamptz not null
);
