"""Settings: the environment, read once into one frozen object. Nobody else reads the
environment.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from kneo_grpc.api.convert.fields import Limits
from kneo_grpc.api.keys import ApiKeys, read_keys
from kneo_grpc.domain.errors import StartRefused
from kneo_grpc.domain.redaction import Rules, rules_of
from kneo_grpc.domain.run import TERMINAL
from kneo_grpc.integrations import variables
from kneo_grpc.platform.health import Secret
from kneo_grpc.platform.retention import RetentionSettings
from kneo_grpc.ports.upkeep import Kept

T = TypeVar("T")

EXAMPLES = "kneo_grpc.examples"
BODY_BYTES_MAX = 16 * 1024 * 1024
"""Largest limit of requests, below what gRPC takes: so it is the service that refuses."""

RATE_MAX = 1_000_000
"""Calls a minute: what Envoy's buckets can count to the percent."""

HOPS_MAX = 100

_ORIGIN = re.compile(r"https?://[^/\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings:
    """What the operator decided about the gateway; the names are those of GatewaySettings."""

    cors_origins: tuple[str, ...] = ()
    trusted_hops: int = 0
    key_rate: int = 0
    address_rate: int = 0
    max_connections: int = 10_000
    max_streams: int = 256
    read_timeout: timedelta = timedelta(seconds=30)
    stream_idle_timeout: timedelta = timedelta(minutes=5)
    access_log: bool = False
    client_ca: Path | None = None
    client_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator decided. Every field names its variable in docs/environment.md.

    skill_root: the folder of skills where it is not the spec root, as on the command line. filled:
    the variables that hold anything, by name.
    """

    database_url: str = field(default="", repr=False)
    state_path: Path = Path(".kneo/kneo_runs.sqlite")
    spec_root: Path = Path()
    skill_root: Path | None = None
    project_config: Path | None = None
    environment: str | None = None
    environments: tuple[str, ...] = ()
    spec_signing_key: str = field(default="", repr=False)
    spec_verify_keys: tuple[str, ...] = ()
    import_allow: tuple[str, ...] = (EXAMPLES,)
    keys: ApiKeys = field(default_factory=lambda: ApiKeys(()))
    allow_plaintext: bool = False
    edge: EdgeSettings = field(default_factory=EdgeSettings)
    metrics: bool = True
    metrics_open: bool = False
    limits: Limits = field(default_factory=Limits)
    body_bytes_max: int = 1_048_576
    sync_wait: timedelta = timedelta(seconds=110)
    lease: timedelta = timedelta(seconds=15)
    runs_max: int = 256
    step_threads: int = 32
    worker_concurrency: int = 32
    idle_poll: timedelta = timedelta(seconds=1)
    claims_max: int = 5
    queue_depth_max: int = 0
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    retry_backoff: timedelta = timedelta(milliseconds=250)
    shutdown_timeout: timedelta = timedelta(seconds=30)
    log_level: str = "INFO"
    request_logs: bool = True
    audit_export: bool = False
    filled: frozenset[str] = field(default=frozenset(), repr=False)
    health_providers: tuple[str, ...] = ()
    health_mcp: tuple[Secret, ...] = ()
    redaction: Rules = field(default_factory=Rules)


def environment() -> dict[str, str]:
    """Return the process's environment."""
    return variables.environment()


def read_settings(source: Mapping[str, str]) -> Settings:
    """Read settings. Raises StartRefused that names every fault at once, and no value."""
    reader = _Reader(source)
    limits = Limits(
        input_chars=reader.whole("KNEO_SERV_MAX_INPUT_CHARS", 20_000),
        human_content_chars=reader.whole("KNEO_SERV_MAX_HUMAN_CONTENT_CHARS", 20_000),
        inline_spec_bytes=reader.whole("KNEO_SERV_MAX_INLINE_SPEC_BYTES", 262_144),
        overrides_bytes=reader.whole("KNEO_SERV_MAX_OVERRIDES_BYTES", 65_536),
        metadata_bytes=reader.whole("KNEO_SERV_MAX_METADATA_BYTES", 32_768),
        path_chars=reader.whole("KNEO_SERV_MAX_PATH_CHARS", 4_096),
        list_items=reader.whole("KNEO_SERV_MAX_LIST_ITEMS", 100),
    )
    settings = Settings(
        database_url=reader.database_url("KNEO_SERV_DATABASE_URL"),
        state_path=Path(reader.text("KNEO_SERV_STATE_PATH", ".kneo/kneo_runs.sqlite")),
        spec_root=Path(reader.text("KNEO_SERV_SPEC_ROOT", ".")),
        project_config=reader.path("KNEO_PROJECT_CONFIG"),
        environment=reader.text("KNEO_ENV") or None,
        environments=reader.words("KNEO_SERV_ENVIRONMENTS"),
        spec_signing_key=reader.utf8("KNEO_SERV_SPEC_SIGNING_KEY"),
        spec_verify_keys=reader.words("KNEO_SERV_SPEC_VERIFY_KEYS"),
        import_allow=reader.words("KNEO_SERV_IMPORT_ALLOW", EXAMPLES),
        keys=reader.keys(),
        allow_plaintext=reader.flag("KNEO_SERV_ALLOW_PLAINTEXT", default=False),
        edge=reader.edge(),
        metrics=reader.flag("KNEO_SERV_METRICS_ENABLED", default=True),
        metrics_open=reader.flag("KNEO_SERV_METRICS_OPEN", default=False),
        limits=limits,
        body_bytes_max=reader.whole("KNEO_SERV_MAX_BODY_BYTES", 1_048_576, BODY_BYTES_MAX),
        sync_wait=reader.seconds("KNEO_SERV_SYNC_WAIT_SECONDS", 110),
        lease=reader.seconds("KNEO_SERV_WORKER_LEASE_SECONDS", 15),
        runs_max=reader.whole("KNEO_SERV_MAX_CONCURRENT_RUNS", 256),
        step_threads=reader.whole("KNEO_SERV_STEP_THREADS", 32),
        worker_concurrency=reader.whole("KNEO_SERV_WORKER_CONCURRENCY", 32),
        idle_poll=reader.seconds("KNEO_SERV_WORKER_IDLE_POLL_SECONDS", 1),
        claims_max=reader.count("KNEO_SERV_QUEUE_MAX_ATTEMPTS", 5),
        queue_depth_max=reader.count("KNEO_SERV_MAX_QUEUE_DEPTH", 0),
        retention=reader.retention(),
        retry_backoff=reader.seconds("KNEO_SERV_STEP_RETRY_BACKOFF_SECONDS", 0.25),
        shutdown_timeout=reader.seconds("KNEO_SERV_SHUTDOWN_TIMEOUT_SECONDS", 30),
        log_level=reader.level("KNEO_SERV_LOG_LEVEL"),
        request_logs=reader.flag("KNEO_SERV_REQUEST_LOGS", default=True),
        audit_export=reader.flag("KNEO_SERV_AUDIT_EXPORT_ENABLED", default=False),
        filled=frozenset(name for name, value in source.items() if value.strip()),
        health_providers=reader.words("KNEO_SERV_HEALTH_PROVIDERS"),
        health_mcp=reader.secrets("KNEO_SERV_HEALTH_MCP_SECRETS"),
        redaction=reader.redaction(),
    )
    reader.check()
    return settings


class _Reader:
    """Reads variables and collects what is wrong with them."""

    def __init__(self, source: Mapping[str, str]) -> None:
        self._source = source
        self._faults: list[str] = []

    def check(self) -> None:
        if self._faults:
            raise StartRefused("settings: " + "; ".join(self._faults))

    def text(self, name: str, default: str = "") -> str:
        return self._source.get(name, "").strip() or default

    def utf8(self, name: str) -> str:
        value = self.text(name)
        # A byte that is no UTF-8 arrives as half a surrogate pair.
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            self._faults.append(f"{name} holds bytes that are not UTF-8")
            return ""
        return value

    def path(self, name: str) -> Path | None:
        return Path(self.text(name)) if self.text(name) else None

    def database_url(self, name: str) -> str:
        value = self.text(name)
        try:
            parts = urlsplit(value)
            # Several hosts with ports are one address to the driver and none to this parser.
            fits = parts.scheme in ("postgresql", "postgres") and ("," in value or parts.port != 0)
        except ValueError:
            fits = False
        if value and not fits:
            self._faults.append(f"{name} must look like postgresql://user:password@host:5432/name")
        return value

    def words(self, name: str, default: str = "") -> tuple[str, ...]:
        words = (word.strip() for word in self.text(name, default).split(","))
        return tuple(word for word in words if word)

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.text(name).lower()
        if value in ("1", "true", "yes", "on"):
            return True
        if value in ("0", "false", "no", "off"):
            return False
        if value:
            self._faults.append(f"{name} must be true or false")
        return default

    def whole(self, name: str, default: int, most: int = 2**31 - 1) -> int:
        number = self._number(name, default, int, "a whole number above 0")
        if number > most:
            self._faults.append(f"{name} must be at most {most}")
            return default
        return number

    def count(self, name: str, default: int, most: int = 2**31 - 1) -> int:
        value = self.text(name)
        if not value:
            return default
        if not value.isascii() or not value.isdigit():
            self._faults.append(f"{name} must be a whole number, 0 or more")
            return default
        if len(value) > len(str(most)) or int(value) > most:
            self._faults.append(f"{name} must be at most {most}")
            return default
        return int(value)

    def retention(self) -> RetentionSettings:
        ages = {}
        for kind in Kept:
            name = f"KNEO_SERV_RETENTION_{kind.name}_DAYS"
            if self.text(name):
                ages[kind] = timedelta(days=min(self.count(name, 0), 36_500))
        words = self.words("KNEO_SERV_RETENTION_RUN_STATUSES")
        names = {status.value: status for status in TERMINAL}
        unknown = sorted(set(words) - set(names))
        if unknown:
            self._faults.append(
                "KNEO_SERV_RETENTION_RUN_STATUSES takes only statuses of ended runs: "
                + ", ".join(sorted(names))
            )
        statuses = frozenset(names[word] for word in words if word in names)
        return RetentionSettings(ages=ages, statuses=statuses or TERMINAL)

    def edge(self) -> EdgeSettings:
        client_ca = self.path("KNEO_SERV_TLS_CLIENT_CA")
        if client_ca is not None and not client_ca.is_file():
            self._faults.append("KNEO_SERV_TLS_CLIENT_CA is not a file")
        if client_ca is None and self.text("KNEO_SERV_TLS_CLIENTS"):
            self._faults.append("KNEO_SERV_TLS_CLIENTS needs KNEO_SERV_TLS_CLIENT_CA")
        required = self.flag("KNEO_SERV_TLS_CLIENT_REQUIRED", default=False)
        if required and client_ca is None:
            self._faults.append("KNEO_SERV_TLS_CLIENT_REQUIRED needs KNEO_SERV_TLS_CLIENT_CA")
        origins = self.words("KNEO_SERV_CORS_ORIGINS")
        if not all(word == "*" or _ORIGIN.fullmatch(word) for word in origins):
            self._faults.append("KNEO_SERV_CORS_ORIGINS takes origins such as https://example.org")
        return EdgeSettings(
            cors_origins=origins,
            trusted_hops=self.count("KNEO_SERV_TRUSTED_HOPS", 0, HOPS_MAX),
            key_rate=self.count("KNEO_SERV_RATE_LIMIT_PER_KEY", 0, RATE_MAX),
            address_rate=self.count("KNEO_SERV_RATE_LIMIT_PER_ADDRESS", 0, RATE_MAX),
            max_connections=self.whole("KNEO_SERV_MAX_CONNECTIONS", 10_000),
            max_streams=self.whole("KNEO_SERV_MAX_STREAMS", 256),
            read_timeout=self.seconds("KNEO_SERV_READ_TIMEOUT_SECONDS", 30),
            stream_idle_timeout=self.seconds("KNEO_SERV_STREAM_IDLE_SECONDS", 300),
            access_log=self.flag("KNEO_SERV_ACCESS_LOGS", default=False),
            client_ca=client_ca,
            client_required=required,
        )

    def seconds(self, name: str, default: float) -> timedelta:
        return timedelta(seconds=self._number(name, default, float, "a number of seconds above 0"))

    def level(self, name: str) -> str:
        value = self.text(name, "INFO").upper()
        if value not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
            self._faults.append(f"{name} must be DEBUG, INFO, WARNING, ERROR or CRITICAL")
        return value

    def keys(self) -> ApiKeys:
        try:
            keys = read_keys(
                self.text("KNEO_SERV_API_KEYS"),
                self.text("KNEO_SERV_ADMIN_API_KEY"),
                self.text("KNEO_SERV_TLS_CLIENTS"),
            )
        except StartRefused as error:
            self._faults.append(error.message)
            return ApiKeys(())
        enabled = self.flag("KNEO_SERV_AUTH_ENABLED", default=bool(keys))
        if enabled and not keys:
            self._faults.append(
                "KNEO_SERV_AUTH_ENABLED is true but no API keys are configured; "
                "set KNEO_SERV_API_KEYS or KNEO_SERV_ADMIN_API_KEY"
            )
        # Switched off, a service with keys is as open as one without, and as confined to loopback.
        return keys if enabled else ApiKeys(())

    def secrets(self, name: str) -> tuple[Secret, ...]:
        return tuple(
            Secret(name=word, env_var=word, present=bool(self.text(word)))
            for word in self.words(name)
        )

    def redaction(self) -> Rules:
        rules, faults = rules_of(self._source, named=self.words("KNEO_SERV_HEALTH_MCP_SECRETS"))
        self._faults += faults
        return rules

    def _number(self, name: str, default: T, kind: Callable[[str], T], what: str) -> T:
        value = self.text(name)
        if not value:
            return default
        try:
            # Python reads "1_000" and digits of other scripts too; an operator's typo is neither.
            number = kind(value) if value.isascii() and "_" not in value else None
        except ValueError:
            number = None
        # The comparison also refuses "nan"; the upper bound refuses "inf".
        if number is None or not 0 < number < 1e12:  # type: ignore[operator] # T is a number
            self._faults.append(f"{name} must be {what}")
            return default
        return number
