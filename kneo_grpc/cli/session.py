"""What every command that works on runs shares: its options, its backend, its way to fail."""

import functools
import inspect
import shlex
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from kneo_grpc.cli import show
from kneo_grpc.cli.backend import Backend
from kneo_grpc.cli.profiles import PROFILES_PATH_OPTION, Profiles
from kneo_grpc.cli.spec_file import SpecFile
from kneo_grpc.cli.workspace import Workspace
from kneo_grpc.domain.errors import EnvironmentUnknown, KneoError

T = TypeVar("T")

# As shells count a program that SIGINT ended.
_INTERRUPTED = 130
_WRONG_USAGE = frozenset({EnvironmentUnknown.reason})

# Taken by every command, so that a script may set it once for all.
_UNUSED_KEY = Annotated[str | None, typer.Option(envvar="KNEO_SERV_IDEMPOTENCY_KEY", hidden=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The options that a command shares with its siblings; each field is one of them."""

    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
    service_url: Annotated[
        str | None,
        typer.Option(
            envvar="KNEO_SERV_SERVICE_URL",
            metavar="URL",
            help="Work through this service: http(s)://… speaks JSON, grpc(s)://… gRPC.",
        ),
    ] = None
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Work through this saved service.")
    ] = None
    api_key: Annotated[
        str | None,
        typer.Option(envvar="KNEO_SERV_API_KEY", metavar="KEY", help="Key for the service."),
    ] = None
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            envvar="KNEO_SERV_TLS_CA",
            exists=True,
            dir_okay=False,
            help="PEM file of the authority that signed the service's certificate.",
        ),
    ] = None
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            envvar="KNEO_SERV_IDEMPOTENCY_KEY",
            metavar="KEY",
            help="The service does this once under the same key; one is made when left out.",
        ),
    ] = None
    on_this_machine: Annotated[
        bool,
        typer.Option("--local", help="Work on this machine, whatever project and profile say."),
    ] = False
    profiles_path: Annotated[Path | None, PROFILES_PATH_OPTION] = None

    def connection(self) -> tuple[str, str | None] | None:
        """Return the service's address and key; None for work on this machine.

        A named profile wins over --service-url, which wins over the project's service, which wins
        over the active profile.
        """
        if self.on_this_machine:
            return None
        if self.profile is None:
            address = self.service_url or self._service_of_project()
            if address:
                return address, self.api_key
        profiles = Profiles.read(self.profiles_path)
        name = self.profile or profiles.active
        if name is None:
            return None
        profile = profiles.get(name)
        return profile.service_url, profile.api_key or self.api_key

    def _service_of_project(self) -> str | None:
        project = Workspace.open().project
        return project.config.service.default_url if project else None

    @property
    def local(self) -> bool:
        """Tell whether the work is done on this machine, without a service."""
        return self.connection() is None

    @property
    def hint_options(self) -> str:
        """The options that a follow-up command needs to reach the same place, with a space."""
        if self.on_this_machine:
            return " --local"
        if self.profile is not None:
            return f" --profile {shlex.quote(self.profile)}"
        return f" --service-url {shlex.quote(self.service_url)}" if self.service_url else ""

    def ask(
        self,
        act: Callable[[Backend], Awaitable[T]],
        *,
        doing: str = "Working",
    ) -> T:
        """Let act work with the backend that the options choose; doing: words for who waits."""
        left: list[str | None] = []
        try:
            with show.waiting(doing):
                return self._work(act, left)
        except KeyboardInterrupt:
            self._tell_interrupted(left[0] if left else None)
            raise typer.Exit(_INTERRUPTED) from None

    def watch(self, act: Callable[[Backend], Awaitable[None]]) -> None:
        """Let act look at something as long as it likes; Ctrl-C ends that, and is no failure."""
        with suppress(KeyboardInterrupt):
            self._work(act, [])

    def _work(self, act: Callable[[Backend], Awaitable[T]], left: list[str | None]) -> T:
        """Let act work with the backend that the options choose. left: gets the run that goes on
        where act is interrupted.
        """
        # asyncio and what the backends need take half a second to load, which help does without.
        import asyncio

        from kneo_grpc.cli.connect import open_backend

        async def work() -> T:
            try:
                async with open_backend(self) as backend:
                    try:
                        return await act(backend)
                    except (KeyboardInterrupt, asyncio.CancelledError):
                        left.append(await backend.interrupted())
                        raise
            except KneoError as error:
                if error.reason == "unavailable" and not (self.profile or self.service_url):
                    error.message += "; --local works on this machine instead"
                raise

        return asyncio.run(work())

    def _tell_interrupted(self, run_id: str | None) -> None:
        """Print what goes on without the command. Nothing is known of what had not begun."""
        show.line("Interrupted.", err=True)
        if run_id is not None:
            where = "a worker goes on with it" if self.local else "the service goes on with it"
            show.line(f"{run_id} has begun, and {where}. Look at it, or end it, with:", err=True)
            for verb in ("get", "cancel"):
                show.line(f"  kneo runs {verb} {run_id}{self.hint_options}", err=True)


@contextmanager
def told_failures(spec_file: SpecFile | None = None) -> Iterator[None]:
    """Turn an expected failure into lines on stderr and exit code 1, or 2 when the command was
    given wrongly.

    spec_file: what diagnostics are about.
    """
    try:
        yield
    except KneoError as error:
        show.failure(error, spec_file)
        raise typer.Exit(2 if error.reason in _WRONG_USAGE else 1) from None


def in_session(command: Callable[..., None], *, keyed: bool = False) -> Callable[..., None]:
    """Give a command the options of Session: it takes them as its argument `session`.

    keyed: its call carries an idempotency key, so its help shows the option for it.
    """
    hints = get_type_hints(Session, include_extras=True)
    if not keyed:
        hints["idempotency_key"] = _UNUSED_KEY

    def told(**values: Any) -> None:
        with told_failures():
            command(**values)

    return with_options(functools.wraps(command)(told), Session, "session", hints)


def with_options(
    command: Callable[..., None], kind: type, name: str, hints: Mapping[str, Any] | None = None
) -> Callable[..., None]:
    """Give a command the fields of a dataclass as options: it takes an instance as one argument.

    kind: the dataclass; each field has a default. name: the argument. hints: types of the options
    where they are not the fields'.
    """
    hints = hints or get_type_hints(kind, include_extras=True)
    shared = {
        field.name: inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)
    }
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != name
    ]

    @functools.wraps(command)
    def invoked(**values: Any) -> None:
        options = kind(**{name: values.pop(name) for name in shared})
        command(**{name: options}, **values)

    parameters = [*own, *shared.values()]
    # Typer reads both: the signature for names and defaults, the annotations for types.
    invoked.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # see above
    invoked.__annotations__ = {item.name: item.annotation for item in parameters}
    return invoked


in_keyed_session = functools.partial(in_session, keyed=True)
"""in_session for a command that starts, continues, resumes or cancels a run, or puts a policy."""
