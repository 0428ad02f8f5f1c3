"""The store on PostgreSQL."""

from kneo_grpc.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
