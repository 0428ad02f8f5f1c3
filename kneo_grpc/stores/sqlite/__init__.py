"""The store on SQLite."""

from kneo_grpc.stores.sqlite.copies import backup, restore
from kneo_grpc.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "backup", "restore"]
