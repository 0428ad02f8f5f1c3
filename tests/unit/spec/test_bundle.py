"""Signed bundles."""

import copy
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest

from kneo_grpc.domain.errors import SpecInvalid
from kneo_grpc.integrations.ed25519 import Ed25519Signer
from kneo_grpc.spec.bundle import (
    HmacKey,
    bundle_given,
    is_bundle,
    read_bundle,
    sign_spec,
    verified_spec,
    verify_bundle,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY = HmacKey(b"top secret")
SPEC = {"version": "v1", "agent": {"name": "a", "model": {"temperature": 0.5}, "x": "ä"}}


def signed(key=KEY, **options) -> dict:
    options.setdefault("approved_by", "me")
    return sign_spec(SPEC, key, created_at=NOW, **options)


def faults(bundle: dict, *keys, now: datetime = NOW, environment: str | None = None) -> list[str]:
    return [
        f.code
        for f in verify_bundle(bundle, keys or (KEY,), now=now, environment=environment).faults
    ]


def ed25519_signer() -> Ed25519Signer:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519Signer(Ed25519PrivateKey.from_private_bytes(b"k" * 32))


def test_a_bundle_has_the_documented_fields() -> None:
    bundle = signed(environment="prod", expires_at=NOW + timedelta(days=1))
    assert list(bundle) == ["kind", "version", "metadata", "spec", "digest", "signature"]
    assert (bundle["kind"], bundle["version"]) == ("kneo.spec.bundle", "v1")
    assert bundle["metadata"] == {
        "approved_by": "me",
        "created_at": "2030-01-01T00:00:00+00:00",
        "environment": "prod",
        "expires_at": "2030-01-02T00:00:00+00:00",
    }
    assert bundle["digest"]["algorithm"] == "SHA256"
    assert bundle["signature"]["algorithm"] == "HMAC-SHA256"
    assert bundle["signature"]["key_id"] == "KNEO_SERV_SPEC_SIGNING_KEY"
    checked = verify_bundle(bundle, [KEY], now=NOW)
    assert (checked.valid, checked.digest_valid, checked.signature_valid) == (True, True, True)


def test_a_bundle_that_another_program_signed_by_the_same_rules_holds() -> None:
    def canonical(value) -> bytes:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode("utf-8")

    spec = {"version": "v1", "agent": {"name": "ä", "t": 1.0, "u": 1e-7, "n": None, "l": [1, True]}}
    bundle = {
        "kind": "kneo.spec.bundle",
        "version": "v1",
        "metadata": {"approved_by": "x", "environment": None, "created_at": "2026-01-01T00:00:00Z"},
        "spec": spec,
        "digest": {"algorithm": "SHA256", "value": hashlib.sha256(canonical(spec)).hexdigest()},
    }
    mac = hmac.new(b"top secret", canonical(bundle), hashlib.sha256).hexdigest()
    bundle["signature"] = {"algorithm": "HMAC-SHA256", "key_id": "OTHER", "value": mac}
    for text in (json.dumps(bundle), json.dumps(bundle, indent=2, ensure_ascii=False)):
        assert faults(read_bundle(text), environment="prod") == []
    # Through a reader that takes 1.0 for 1 it does not: that is why it travels as text.
    bundle["spec"]["agent"]["t"] = 1
    assert faults(bundle) == ["E_BUNDLE_DIGEST", "E_BUNDLE_SIGNATURE"]


def test_the_canonical_bytes_are_fixed_for_ever() -> None:
    bundle = signed()
    assert bundle["digest"]["value"] == (
        hashlib.sha256(
            '{"agent":{"model":{"temperature":0.5},"name":"a","x":"ä"},"version":"v1"}'.encode()
        ).hexdigest()
    )


def paths(value, path=()) -> list[tuple]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += paths(item, (*path, key))
    return found


FULL = signed(environment="prod", expires_at=NOW + timedelta(days=1))


@pytest.mark.parametrize("path", paths(FULL), ids=".".join)
@pytest.mark.parametrize("way", ["change", "drop", "null"])
@pytest.mark.parametrize("make", [lambda: KEY, ed25519_signer], ids=["hmac", "ed25519"])
def test_a_bundle_changed_anywhere_does_not_hold(path, way, make) -> None:
    key = make()
    if path == ("signature", "key_id") and key is KEY and way == "change":
        pytest.skip("the label of an HMAC key is no part of what is signed")
    bundle = copy.deepcopy(signed(key, environment="prod", expires_at=NOW + timedelta(days=1)))
    owner = bundle
    for step in path[:-1]:
        owner = owner[step]
    if way == "drop":
        del owner[path[-1]]
    else:
        owner[path[-1]] = None if way == "null" else "other"
    verifier = key if key is KEY else key.verifier
    assert faults(bundle, verifier) != []


@pytest.mark.parametrize("place", [(), ("metadata",), ("spec",), ("digest",), ("signature",)])
def test_a_bundle_with_something_added_does_not_hold(place) -> None:
    bundle = copy.deepcopy(FULL)
    owner = bundle
    for step in place:
        owner = owner[step]
    owner["added"] = 1
    assert faults(bundle) != []


def test_another_key_does_not_verify() -> None:
    assert faults(signed(), HmacKey(b"other")) == ["E_BUNDLE_SIGNATURE"]
    assert faults(signed(ed25519_signer()), KEY) == ["E_BUNDLE_KEY"]
    assert faults(signed(), ed25519_signer().verifier) == ["E_BUNDLE_KEY"]


def test_one_of_several_keys_is_enough() -> None:
    assert faults(signed(), HmacKey(b"new"), KEY) == []


def test_a_public_key_verifies_and_cannot_sign() -> None:
    verifier = ed25519_signer().verifier
    bundle = signed(ed25519_signer())
    assert bundle["signature"]["algorithm"] == "Ed25519"
    assert bundle["signature"]["key_id"].startswith("ed25519:")
    assert faults(bundle, verifier) == []
    assert not hasattr(verifier, "sign")


@pytest.mark.parametrize("value", ["", "zz", "A" * 128, "0" * 64, "ä", "ff " * 64])
def test_a_signature_that_is_none_is_refused(value: str) -> None:
    for key, verifier in ((KEY, KEY), (ed25519_signer(), ed25519_signer().verifier)):
        bundle = signed(key)
        bundle["signature"]["value"] = value
        assert faults(bundle, verifier) == ["E_BUNDLE_SIGNATURE"]


def test_upper_case_is_not_the_same_signature() -> None:
    for key, verifier in ((KEY, KEY), (ed25519_signer(), ed25519_signer().verifier)):
        bundle = signed(key)
        bundle["signature"]["value"] = bundle["signature"]["value"].upper()
        assert faults(bundle, verifier) == ["E_BUNDLE_SIGNATURE"]


def test_it_expires_to_the_instant() -> None:
    bundle = signed(expires_at=NOW + timedelta(seconds=10))
    assert faults(bundle, now=NOW + timedelta(seconds=9.999)) == []
    assert faults(bundle, now=NOW + timedelta(seconds=10)) == ["E_BUNDLE_EXPIRED"]


@pytest.mark.parametrize("value", ["tomorrow", "2031-01-01T00:00:00", 1893456000, [], True])
def test_an_expiry_that_is_no_instant_is_refused(value) -> None:
    bundle = signed()
    bundle["metadata"]["expires_at"] = value
    assert "E_BUNDLE" in faults(bundle)


def test_it_runs_in_its_environment_only() -> None:
    bundle = signed(environment="prod")
    assert faults(bundle, environment="prod") == []
    assert faults(bundle, environment="dev") == ["E_BUNDLE_ENVIRONMENT"]
    assert faults(bundle) == []
    assert faults(signed(), environment="dev") == []


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"kind": "other"}, {"E_BUNDLE_KIND", "E_BUNDLE_SIGNATURE"}),
        ({"version": "v2"}, {"E_BUNDLE_VERSION", "E_BUNDLE_SIGNATURE"}),
        ({"spec": []}, {"E_BUNDLE"}),
        ({"metadata": 3}, {"E_BUNDLE", "E_BUNDLE_SIGNATURE"}),
        ({"digest": "x"}, {"E_BUNDLE_DIGEST", "E_BUNDLE_SIGNATURE"}),
        ({"signature": "x"}, {"E_BUNDLE_SIGNATURE"}),
        ({"signature": None}, {"E_BUNDLE_SIGNATURE"}),
        ({"signature": {"algorithm": "none", "key_id": "", "value": ""}}, {"E_BUNDLE_KEY"}),
        ({"extra": float("nan")}, {"E_BUNDLE_SIGNATURE"}),
    ],
)
def test_each_fault_is_named(change: dict, codes: set) -> None:
    assert set(faults({**signed(), **change})) == codes


def test_a_spec_that_is_no_object_stops_the_check() -> None:
    checked = verify_bundle({**signed(), "spec": "x"}, [KEY], now=NOW)
    assert [fault.message for fault in checked.faults] == ["the spec is not an object"]
    assert (checked.digest_valid, checked.signature_valid) == (False, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '{"a": NaN}',
        '{"a": 1, "a": 2}',
        "[" * 100_000,
        '{"a": ' + "9" * 5000 + "}",
        "\xff",
    ],
)
def test_what_is_no_bundle_is_refused(text: str) -> None:
    with pytest.raises(SpecInvalid) as caught:
        read_bundle(text)
    assert caught.value.details["diagnostics"][0]["code"] == "E_BUNDLE"
    assert not is_bundle(text.encode("latin-1"))


def test_a_spec_that_speaks_of_bundles_is_none() -> None:
    assert not is_bundle(b'version: v1\nagent: {name: "kneo.spec.bundle"}\n')
    assert not is_bundle(b'{"agent": {"name": "kneo.spec.bundle"}}')
    assert is_bundle(json.dumps(signed()).encode())


def test_a_request_carries_a_bundle_as_an_object_or_as_its_text() -> None:
    bundle = signed()
    assert bundle_given(bundle) == bundle
    assert bundle_given({"json": json.dumps(bundle)}) == bundle
    with pytest.raises(SpecInvalid):
        bundle_given({"json": "{"})


def test_a_spec_leaves_its_bundle_only_when_all_holds() -> None:
    assert verified_spec(signed(), [KEY], now=NOW, environment="dev") == SPEC
    with pytest.raises(SpecInvalid) as caught:
        verified_spec(signed(), [HmacKey(b"x")], now=NOW, environment="dev")
    (fault,) = caught.value.details["diagnostics"]
    assert (fault["code"], fault["severity"]) == ("E_BUNDLE_SIGNATURE", "error")


def test_a_key_is_never_shown() -> None:
    assert "top secret" not in repr(KEY)
