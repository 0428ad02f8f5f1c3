"""Commands that start processes, and the command itself."""

import subprocess
import sys
import types

import pytest

import kneo_grpc
from kneo_grpc.app.settings import read_settings
from kneo_grpc.domain.errors import StartRefused


@pytest.fixture
def stand_in(monkeypatch):
    """Puts a function into a module of app and returns the list of its calls."""

    def put(module_name, function_name, result):
        calls = []

        def function(**arguments):
            calls.append(arguments)
            if isinstance(result, Exception):
                raise result
            return result

        module = types.ModuleType(f"kneo_grpc.app.{module_name}")
        setattr(module, function_name, function)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return calls

    return put


def test_serve_listens_on_loopback_by_default(kneo, stand_in):
    calls = stand_in("serve", "run_service", 0)
    assert kneo("service", "serve").exit_code == 0
    assert calls == [
        {
            "host": "127.0.0.1",
            "port": 8000,
            "grpc_port": None,
            "tls_port": None,
            "tls_cert": None,
            "tls_key": None,
            "gateway": True,
            "worker": True,
            "processes": 1,
        }
    ]


def test_serve_passes_its_options_and_its_exit_code_on(kneo, stand_in, tmp_path):
    calls = stand_in("serve", "run_service", 3)
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
    cert.touch()
    key.touch()
    words = ["--host", "0.0.0.0", "--port", "1", "--grpc-port", "2", "--tls-port", "3"]
    words += ["--tls-cert", str(cert), "--tls-key", str(key), "--no-gateway"]
    words += ["--no-worker", "--processes", "4"]
    assert kneo("service", "serve", *words).exit_code == 3
    assert calls == [
        {
            "host": "0.0.0.0",
            "port": 1,
            "grpc_port": 2,
            "tls_port": 3,
            "tls_cert": cert,
            "tls_key": key,
            "gateway": False,
            "worker": False,
            "processes": 4,
        }
    ]


def test_a_service_that_refuses_to_start_says_why(kneo, stand_in):
    stand_in("serve", "run_service", StartRefused("keys are wanted beyond loopback"))
    result = kneo("service", "serve", "--host", "0.0.0.0")
    assert result.exit_code == 1
    assert result.stderr == "error: keys are wanted beyond loopback (start_refused)\n"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://me:hunter2@db/kneo", True),
        ("postgresql://me:hunter2@db:port/kneo", True),
        ("me:hunter2@db", True),
        ("postgresql://me:hunter2@db:5432/kneo", False),
        ("postgres:///kneo?host=/run/postgresql", False),
        ("postgresql://a:1,b:2/kneo", False),
    ],
)
def test_a_database_url_that_is_none_is_told_with_the_other_faults(url, told):
    source = {"KNEO_SERV_DATABASE_URL": url, "KNEO_SERV_MAX_QUEUE_DEPTH": "many"}
    with pytest.raises(StartRefused) as refused:
        read_settings(source)
    text = "KNEO_SERV_DATABASE_URL must look like postgresql://user:password@host:5432/name; "
    faults = refused.value.message
    assert (text in faults, "hunter2" in faults) == (told, False)
    assert "KNEO_SERV_MAX_QUEUE_DEPTH must be a whole number" in faults


def test_a_certificate_without_its_key_is_wrong_usage(kneo, stand_in, tmp_path):
    calls = stand_in("serve", "run_service", 0)
    (tmp_path / "c.pem").touch()
    assert kneo("service", "serve", "--tls-cert", str(tmp_path / "c.pem")).exit_code == 2
    assert calls == []


@pytest.mark.parametrize("words", [("--processes", "0"), ("--processes", "many")])
def test_a_number_of_processes_that_is_none_is_wrong_usage(kneo, stand_in, words):
    calls = stand_in("serve", "run_service", 0)
    assert kneo("service", "serve", *words).exit_code == 2
    assert calls == []


@pytest.mark.parametrize(
    ("words", "ports"),
    [
        ((), (8000, None)),
        (("--tls-port", "8443"), (None, 8443)),
        (("--tls-port", "8443", "--port", "80"), (80, 8443)),
        (("--port", "80"), (80, None)),
    ],
)
@pytest.mark.parametrize(
    ("command", "place"),
    [
        (("service", "serve"), ("serve", "run_service")),
        (("gateway", "run"), ("gateway_command", "run_gateway")),
        (("gateway", "render"), ("gateway_command", "render_config")),
    ],
)
def test_a_tls_port_alone_is_served_alone(kneo, stand_in, command, place, words, ports):
    calls = stand_in(*place, "" if "render" in command else 0)
    assert kneo(*command, *words).exit_code == 0
    assert (calls[0]["port"], calls[0]["tls_port"]) == ports


@pytest.mark.parametrize(("words", "number"), [((), None), (("--concurrency", "64"), 64)])
def test_the_worker_starts_and_its_exit_code_is_passed_on(kneo, stand_in, words, number):
    calls = stand_in("worker_process", "run_worker", 3)
    assert kneo("worker", *words).exit_code == 3
    assert calls == [{"concurrency": number}]


def test_a_worker_without_room_for_a_run_is_wrong_usage(kneo, stand_in):
    calls = stand_in("worker_process", "run_worker", 0)
    assert kneo("worker", "--concurrency", "0").exit_code == 2
    assert calls == []


def test_a_worker_that_refuses_to_start_says_why(kneo, stand_in):
    stand_in("worker_process", "run_worker", StartRefused("another service uses the file"))
    result = kneo("worker")
    assert result.exit_code == 1
    assert result.stderr == "error: another service uses the file (start_refused)\n"


def test_the_gateway_configuration_goes_to_stdout_or_to_a_file(kneo, stand_in, tmp_path):
    calls = stand_in("gateway_command", "render_config", "static: 1\n")
    words = ("gateway", "render", "--upstream", "a:1", "--upstream", "unix:/b")
    assert kneo(*words).stdout == "static: 1\n"
    path = tmp_path / "envoy.yaml"
    result = kneo(*words, "--tls-port", "8443", "-o", str(path))
    assert (result.exit_code, result.stdout, path.read_text()) == (0, "", "static: 1\n")
    common = {"host": "127.0.0.1", "upstreams": ["a:1", "unix:/b"]}
    assert calls == [
        {**common, "port": 8000, "tls_port": None},
        {**common, "port": None, "tls_port": 8443},
    ]


def test_a_configuration_that_cannot_be_written_is_told(kneo, stand_in, tmp_path):
    stand_in("gateway_command", "render_config", "static: 1\n")
    path = tmp_path / "none" / "envoy.yaml"
    result = kneo("gateway", "render", "--upstream", "a:1", "-o", str(path))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: cannot write {path}: ")


def test_the_gateway_runs_with_its_upstreams(kneo, stand_in):
    calls = stand_in("gateway_command", "run_gateway", 5)
    result = kneo("gateway", "run", "--host", "::1", "--port", "9", "--upstream", "a:1")
    assert result.exit_code == 5
    assert calls == [{"host": "::1", "port": 9, "tls_port": None, "upstreams": ["a:1"]}]


def test_a_gateway_serves_the_usual_grpc_port_of_this_machine(kneo, stand_in):
    calls = stand_in("gateway_command", "run_gateway", 0)
    assert kneo("gateway", "run").exit_code == 0
    assert calls[0]["upstreams"] == ["127.0.0.1:50051"]


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ((), {"once": False, "port": None}),
        (("--once", "--port", "9"), {"once": True, "port": 9}),
    ],
)
def test_the_demo_starts(kneo, stand_in, words, arguments):
    calls = stand_in("demo", "run_demo", 0)
    assert kneo("demo", *words).exit_code == 0
    assert calls == [arguments]


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_printed(kneo, option):
    result = kneo(option)
    assert (result.exit_code, result.stdout) == (0, f"kneo {kneo_grpc.__version__}\n")


def test_help_names_every_command(kneo):
    result = kneo("--help")
    assert result.exit_code == 0
    nouns = "run runs human spec config service worker queue maintenance gateway demo"
    for noun in nouns.split():
        assert f"\n  {noun} " in result.stdout


def test_an_unknown_command_is_wrong_usage(kneo):
    assert kneo("ruin").exit_code == 2


def test_the_command_starts_without_its_heavy_libraries():
    heavy = ["grpc", "google.protobuf", "pydantic", "yaml", "asyncpg", "rich", "asyncio"]
    script = (
        "import sys, kneo_grpc.cli\n"
        "from typer.main import get_command\n"
        "get_command(kneo_grpc.cli.app)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


def test_grpc_is_told_to_be_quiet_before_it_is_loaded():
    script = (
        "import os, sys, kneo_grpc.cli\n"
        "quiet = lambda: os.environ.get('GRPC_ENABLE_FORK_SUPPORT')\n"
        "kneo_grpc.cli.app = lambda prog_name: print(quiet(), 'grpc' in sys.modules)\n"
        "kneo_grpc.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "0 False\n"


def test_the_process_prints_what_its_terminal_cannot_encode():
    script = (
        "import sys, kneo_grpc.cli\n"
        "from kneo_grpc.cli import show\n"
        "kneo_grpc.cli.app = lambda prog_name: show.line('ä…')\n"
        "kneo_grpc.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=True,
        timeout=60,
        env={"PYTHONIOENCODING": "latin-1", "PATH": ""},
    )
    assert done.stdout == b"\xe4\\u2026\n"
