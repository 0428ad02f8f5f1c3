-- Lists, retention and verification walk audit records in the order of time, so that is their key.
drop index audit_events_by_creation;
alter table audit_events drop constraint audit_events_pkey;
alter table audit_events add primary key (created_at, id);

-- What most records are is left out, so that the record of a create costs no further index.
create index audit_events_by_type on audit_events (event_type, created_at, id)
  where event_type not in ('run.created', 'spec.run');

-- Records that have no number yet; each is put here by the transaction that writes it. There is no
-- index, because a sealer takes whatever it finds.
create table audit_unsealed (
  created_at timestamptz not null,
  id text collate "C" not null
);

insert into audit_unsealed (created_at, id) select created_at, id from audit_events;

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
