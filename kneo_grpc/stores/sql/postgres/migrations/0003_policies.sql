-- Keys that the processes of a service share, and what must hold for specs in an environment.
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
