"""Backup and restore of the embedded database."""

import asyncio
from pathlib import Path

from kneo_grpc.app.settings import environment, read_settings
from kneo_grpc.app.wiring import open_store
from kneo_grpc.stores.sqlite import restore


def run_backup(destination: Path) -> int:
    """Copy the database while it may be in use; return the bytes. Raises KneoError."""

    async def copy() -> int:
        store = open_store(read_settings(environment()), exclusive=False)
        await store.start()
        try:
            return await store.backup(destination)
        finally:
            await store.stop()

    return asyncio.run(copy())


def run_restore(backup: Path) -> int:
    """Put a backup in the place of the SQLite file, which no service may use; return the bytes.

    Raises KneoError.
    """
    return restore(backup, read_settings(environment()).state_path)
