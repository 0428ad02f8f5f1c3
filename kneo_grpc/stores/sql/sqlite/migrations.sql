-- name: migration_table
create table if not exists schema_migrations (
  version integer primary key,
  name text not null,
  checksum text not null,
  applied_at integer not null
);

-- name: migrations_applied
select version, checksum from schema_migrations;

-- name: migration_record
insert into schema_migrations (version, name, checksum, applied_at)
values ($1, $2, $3, cast((julianday('now') - 2440587.5) * 86400000000 as integer));
