"""The SQL files."""

import re

import pytest

from kneo_grpc.stores.statements import load_statements, read_folder

ROW_BY_ROW = {
    "run_insert",
    "run_update",
    "plan_insert",
    "event_insert",
    "checkpoint_insert",
    "task_insert",
    "jobs_clear",
    "job_put",
    "audit_insert",
    "audit_unsealed_insert",
}
"""What PostgreSQL does in the statement of a batch."""
ONE_BY_ONE = {"run_ready", "run_take", "run_requeue", "prune_checkpoints_fence"} | {
    "seal_taken",
    "seal_end",
    "prune_runs_audit",
    "prune_runs_seals",
    "prune_audit_seals",
}
"""What PostgreSQL does as a part of another statement."""
SERVER = {"run_lock", "migration_lock", "server_durability", "audit_append", "work_hint"}
"""What only a server with many sessions needs."""
BATCH = {"change", "created", "created_none", "moved", "moved_none", "landed", "end"} | {
    *("events", "checkpoints", "plans", "tasks", "jobs", "jobs_none", "cleared", "audit"),
}
"""The parts of PostgreSQL's statement of a batch."""


def test_both_databases_define_the_same_names() -> None:
    sqlite, postgres = (set(load_statements(name)) for name in ("sqlite", "postgres"))
    assert sqlite - postgres == ROW_BY_ROW | ONE_BY_ONE | {"leases_void", "sealer_void"}
    assert postgres - sqlite == SERVER | {f"batch_{part}" for part in BATCH}


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_placeholders_are_the_databases_own(database: str) -> None:
    mark, other = ("?", "$") if database == "sqlite" else ("$", "?")
    text = "\n".join(load_statements(database).values())
    assert re.search(rf"\{mark}\d", text)
    assert not re.search(rf"\{other}\d", text)


def test_a_statement_keeps_its_text_without_the_semicolon() -> None:
    assert read_folder("shared")["plan_load"] == "select content from plans where digest = $1"
