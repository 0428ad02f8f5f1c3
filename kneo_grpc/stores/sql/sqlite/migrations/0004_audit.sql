-- Lists, retention and verification walk audit records in the order of time.
drop index audit_events_by_creation;
create index audit_events_by_creation on audit_events (created_at, id);

-- What most records are is left out, so that the record of a create costs no further index.
create index audit_events_by_type on audit_events (event_type, created_at, id)
  where event_type not in ('run.created', 'spec.run');

-- Records that have no number yet; each is put here by the transaction that writes it. There is no
-- index, because a sealer takes whatever it finds.
create table audit_unsealed (
  created_at integer not null,
  id text not null
);

insert into audit_unsealed (created_at, id) select created_at, id from audit_events;

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
