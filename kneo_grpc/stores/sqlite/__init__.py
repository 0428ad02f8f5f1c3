"""The store on SQLite."""

from kneo_grpc.stores.sqlite.copies import restore
from kneo_grpc.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "restore"]
