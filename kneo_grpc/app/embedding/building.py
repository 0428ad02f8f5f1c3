"""Builds the platform that an embedding program describes."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kneo_grpc.app.base import DurableStore
from kneo_grpc.app.embedding.own_code import OwnCode, OwnModels
from kneo_grpc.app.loops import duties
from kneo_grpc.app.settings import Settings, environment, read_settings
from kneo_grpc.app.wiring import Platform, build_platform
from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.examples.tools import TOOLS
from kneo_grpc.ports.code import RegisteredTool
from kneo_grpc.ports.models import Models

MEMORY = ":memory:"

AnyStore = str | Path | DurableStore | None
"""A SQLite file, `:memory:`, a `postgresql://…` address, a store, or what the settings say."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a program wants. temporary: the state goes when the platform does."""

    settings: Settings
    store: DurableStore | None
    temporary: bool
    code: OwnCode
    models: Models | None
    worker: bool
    example_tools: bool


def describe(
    *,
    store: AnyStore,
    tools: Iterable[Callable[..., Any] | RegisteredTool],
    functions: Mapping[str, Callable[..., Any]],
    models: Models | None,
    worker: bool,
    spec_root: str | Path | None,
    import_allow: Iterable[str] | None,
    example_tools: bool,
    variables: Mapping[str, str] | None,
) -> Description:
    """Check what a program gives to its platform. Raises InvalidInput, StartRefused."""
    if models is not None and not (hasattr(models, "names") and hasattr(models, "complete")):
        raise InvalidInput("models need the methods names and complete; see ports.models.Models")
    if not (store is None or isinstance(store, (str, Path)) or hasattr(store, "commit")):
        text = "a file, :memory:, a postgresql:// address or a ports.store.Store"
        raise InvalidInput(f"the store must be {text}, not of type {type(store).__name__}")
    if isinstance(import_allow, str):
        raise InvalidInput("import_allow is a list of module names, not one text")
    settings = read_settings(environment() if variables is None else variables)
    if spec_root is not None:
        settings = replace(settings, spec_root=Path(spec_root))
    if import_allow is not None:
        settings = replace(settings, import_allow=tuple(import_allow))
    if isinstance(store, str) and store.startswith(("postgresql://", "postgres://")):
        settings = replace(settings, database_url=store)
    elif isinstance(store, (str, Path)) and store != MEMORY:
        settings = replace(settings, database_url="", state_path=Path(store))
    return Description(
        settings=settings,
        store=None if store is None or isinstance(store, (str, Path)) else store,
        temporary=store == MEMORY,
        code=OwnCode(tools, functions),
        models=None if models is None else OwnModels(models),
        worker=worker,
        example_tools=example_tools,
    )


@contextlib.asynccontextmanager
async def opened(described: Description) -> AsyncIterator[Platform]:
    """Open a platform with its background duties. At the end runs under way end or pause first.

    Without a worker nothing is executed here, and a SQLite file may be another process's.
    Raises StartRefused.
    """
    async with contextlib.AsyncExitStack() as stack:
        settings = described.settings
        if described.temporary:
            # Each connection to SQLite's own :memory: would see a database of its own.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kneo-"))
            state_path = Path(folder) / "kneo_runs.sqlite"
            settings = replace(settings, database_url="", state_path=state_path)
        platform = build_platform(
            settings,
            store=described.store,
            models=described.models,
            exclusive=described.worker,
            executes=described.worker,
        )
        if not described.example_tools:
            for name in TOOLS:
                platform.code.remove_tool(name)
        described.code.attach(platform.code)
        await platform.start()
        stack.push_async_callback(platform.close)
        await stack.enter_async_context(duties(platform, works=described.worker))
        stack.push_async_callback(platform.drain)
        yield platform
