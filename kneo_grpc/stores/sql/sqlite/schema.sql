-- What all migrations make together; a test compares. Not used at run time.

create table if not exists schema_migrations (
  version integer primary key,
  name text not null,
  checksum text not null,
  applied_at integer not null
);

-- Instants are microseconds since 1970, JSON is text.

create table plans (
  digest text primary key,
  content blob not null
) without rowid;

create table runs (
  id text primary key not null,
  status text not null,
  attempt integer not null,
  plan_digest text not null,
  target text not null,
  agent_name text,
  workflow_name text,
  workflow_kind text,
  environment text,
  session_id text,
  input_text text not null,
  output_text text,
  current_step_id text,
  current_node_id text,
  event_sequence integer not null,
  checkpoint_sequence integer not null,
  error_text text,
  source text not null,
  detail text not null,
  created_at integer not null,
  updated_at integer not null,
  updated_slot integer not null,
  started_at integer,
  completed_at integer,
  deadline_at integer
);

-- updated_slot is updated_at in units of ten seconds: a step seldom touches an index, and a list by
-- updated_at walks this one and sorts inside a slot.
create index runs_by_update on runs (updated_slot);
create index runs_by_status on runs (status, updated_slot);
create index runs_by_creation on runs (created_at, id);
create index runs_by_workflow on runs (workflow_name, id);
create index runs_by_session on runs (session_id, updated_slot) where session_id is not null;

create table events (
  run_id text not null references runs (id) on delete cascade,
  sequence integer not null,
  id text not null,
  type text not null,
  occurred_at integer not null,
  data text not null,
  primary key (run_id, sequence)
);

create table checkpoints (
  run_id text not null references runs (id) on delete cascade,
  sequence integer not null,
  id text not null,
  type text not null,
  workflow_name text,
  step_id text,
  node_id text,
  iteration integer not null,
  patch text,
  snapshot text,
  metadata text not null,
  created_at integer not null,
  primary key (run_id, sequence),
  check ((patch is null) <> (snapshot is null))
);

create table human_tasks (
  id text primary key not null,
  run_id text not null references runs (id) on delete cascade,
  status text not null,
  workflow_kind text not null,
  created_at integer not null,
  expires_at integer,
  body text not null,
  decision text,
  decided_by text,
  settled_at integer,
  escalated_at integer
);

create index human_tasks_by_run on human_tasks (run_id, id);
create index human_tasks_pending_by_creation on human_tasks (created_at, id)
  where status = 'pending';

create table jobs (
  run_id text not null references runs (id) on delete cascade,
  kind text not null,
  subject text not null,
  due_at integer not null,
  lease_owner text,
  lease_expires_at integer,
  created_at integer not null,
  claims integer not null default 0,
  primary key (run_id, kind, subject)
);

create index jobs_of_runs on jobs (due_at) where kind = 'run';
create index jobs_dead on jobs (due_at) where kind = 'dead';
create index jobs_timed on jobs (due_at) where kind not in ('run', 'dead');
create index jobs_by_owner on jobs (lease_owner) where lease_owner is not null;

create table audit_events (
  id text primary key not null,
  event_type text not null,
  run_id text,
  continuation_id text,
  actor text,
  metadata text not null,
  created_at integer not null
);

-- What most records are is left out, so that the record of a create costs no further index.
create index audit_events_by_type on audit_events (event_type, created_at, id)
  where event_type not in ('run.created', 'spec.run');

-- Records that have no number yet; each is put here by the transaction that writes it. There is no
-- index, because a sealer takes whatever it finds.
create table audit_unsealed (
  created_at integer not null,
  id text not null
);

-- The chain. What retention removes from audit_events stays here, marked.
create table audit_seals (
  number integer primary key check (number > 0),
  audit_id text not null unique,
  created_at integer not null,
  content_digest blob not null,
  digest blob not null,
  sealed_at integer not null,
  pruned_at integer
);

-- One row: where the chain ends, and who adds to it.
create table audit_sealer (
  id integer primary key check (id = 1),
  number integer not null,
  digest blob not null,
  exported_number integer not null,
  holder text,
  lease_expires_at integer
);

create table idempotency_records (
  principal text not null,
  scope text not null,
  key text not null,
  request_hash text not null,
  run_id text,
  response text,
  created_at integer not null,
  primary key (principal, scope, key)
);

-- What ages.
create index checkpoints_by_creation on checkpoints (created_at);
create index audit_events_by_creation on audit_events (created_at, id);
create index idempotency_records_by_creation on idempotency_records (created_at);
create index human_tasks_by_settlement on human_tasks (settled_at) where settled_at is not null;

-- What goes with its run.
create index audit_events_by_run on audit_events (run_id) where run_id is not null;

-- What all processes of a service share.
create table service_keys (
  name text primary key not null,
  content blob not null
) without rowid;

create table environment_policies (
  environment text primary key not null,
  version integer not null,
  policy text not null,
  updated_at integer not null
) without rowid;
