-- Keys that the processes of a service share, and what must hold for specs in an environment.
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
