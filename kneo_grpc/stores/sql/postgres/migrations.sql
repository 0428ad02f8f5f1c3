-- name: migration_table
create table if not exists schema_migrations (
  version integer primary key,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null
);

-- name: migrations_applied
select version, checksum from schema_migrations;

-- name: migration_record
insert into schema_migrations (version, name, checksum, applied_at) values ($1, $2, $3, now());

-- name: migration_lock
-- Held until the connection closes.
select pg_advisory_lock(hashtextextended('kneo schema migrations', 0));
