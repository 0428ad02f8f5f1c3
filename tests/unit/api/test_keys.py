"""Who may hold which key, and what refuses to start."""

import pytest

from kneo_grpc.api.keys import read_keys
from kneo_grpc.app.binding import check_binding
from kneo_grpc.app.settings import read_settings
from kneo_grpc.domain.errors import StartRefused


def settings(**variables: str):
    return read_settings({f"KNEO_SERV_{name}": value for name, value in variables.items()})


def test_several_keys_of_one_name_are_one_caller() -> None:
    """Rotation: the new key is added, callers move over, the old one is taken away."""
    keys = read_keys("ops:old:operator;ops:new:operator", "")
    assert keys.find("old") == keys.find("new")
    assert keys.find("old").name == "ops"
    assert keys.find("other") is None


def test_the_same_rights_may_be_spelt_in_two_ways() -> None:
    keys = read_keys("a:one:reviewer;a:two:runs:read,human:read,human:write,audit:read", "")
    assert keys.find("one").scopes == keys.find("two").scopes


REFUSED = {
    "rights that differ": (
        "a:1:viewer;a:2:operator",
        "",
        "entry 1 and .* entry 2 are both named a",
    ),
    "a key of two names": ("a:1:viewer;b:1:viewer", "", r"entry 1 \(a\) and .* entry 2 \(b\) have"),
    "another's admin key": ("a:1:viewer", "1", r"entry 1 \(a\) and KNEO_SERV_ADMIN_API_KEY"),
    "an admin of less": ("admin:1:viewer", "2", "both named admin"),
    "an unknown role": ("a:1:vewer", "", "grants vewer"),
    "an unknown scope": ("a:1:runs:delete", "", "grants runs:delete"),
    "a scope of no verb": ("a:1:runs:delete", "", "entry 1 grants runs:delete, which is no role"),
    "a key with a colon": ("a:1:fj29:viewer", "", "entry 1 grants something, which is no"),
    "a word of letters": ("a:1:cret", "", "entry 1 grants something, which is no role or scope"),
    "a misspelt scope": ("a:1:rnus:read", "", "entry 1 grants rnus:read, which is no role"),
    "no grant": ("a:1:,", "", "grants nothing"),
    "no key": ("a::viewer", "", "entry 1 is not of the form"),
    "too few parts": ("good:1:viewer;a:b", "", "entry 2 is not of the form"),
    "beyond ASCII": ("a:schlüssel:viewer", "", "characters that a header does not carry"),
    "a control character": ("a:k\tk:viewer", "", "characters that a header does not carry"),
    "an admin key beyond ASCII": ("", "ключ", "KNEO_SERV_ADMIN_API_KEY: the key holds"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_refuses_to_start(case: str) -> None:
    entries, admin, told = REFUSED[case]
    with pytest.raises(StartRefused, match=told) as raised:
        read_keys(entries, admin)
    assert "schlüssel" not in raised.value.message


@pytest.mark.parametrize("key", ["se:cret-k29", "s:cret", "a:cret:x", "a:b:cret", "1:runs:cret-9"])
@pytest.mark.parametrize("grants", ["viewer", "runs:read", "viewer,runs:read"])
def test_no_part_of_a_key_with_a_colon_is_told(key: str, grants: str) -> None:
    with pytest.raises(StartRefused) as raised:
        read_keys(f"ops:{key}:{grants}", "")
    assert "cret" not in raised.value.message
    assert "entry 1 grants" in raised.value.message


def test_an_admin_key_that_is_there_twice_is_told(caplog: pytest.LogCaptureFixture) -> None:
    keys = read_keys("root:secret-1:admin", "secret-1")
    assert keys.find("secret-1").name == "root"
    assert "KNEO_SERV_ADMIN_API_KEY repeats the key of" in caplog.text
    assert "secret-1" not in caplog.text


@pytest.mark.parametrize("word", ["true", "1", "YES", " on "])
def test_auth_that_is_on_needs_a_key(word: str) -> None:
    with pytest.raises(StartRefused, match="no API keys are configured"):
        settings(AUTH_ENABLED=word)
    assert settings(AUTH_ENABLED=word, API_KEYS="a:1:viewer").keys


def test_keys_switch_auth_on() -> None:
    assert settings(API_KEYS="a:1:viewer").keys
    assert settings(ADMIN_API_KEY="1").keys
    assert not settings().keys


@pytest.mark.parametrize("word", ["false", "0", "No", "off"])
def test_auth_can_be_switched_off_on_loopback_only(
    word: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = settings(AUTH_ENABLED=word, API_KEYS="a:1:viewer")
    assert not found.keys
    check_binding(found, "127.0.0.1", plaintext=True)
    assert "everybody on this machine has full access" in caplog.text
    with pytest.raises(StartRefused, match="AUTH_ENABLED"):
        check_binding(found, "0.0.0.0", plaintext=False)


def test_a_switch_that_is_neither_is_refused() -> None:
    with pytest.raises(StartRefused, match="KNEO_SERV_AUTH_ENABLED must be true or false"):
        settings(AUTH_ENABLED="maybe")


def test_keys_are_checked_even_where_auth_is_off() -> None:
    with pytest.raises(StartRefused, match="entry 1"):
        settings(AUTH_ENABLED="false", API_KEYS="a:b")


def test_a_certificate_s_name_has_one_set_of_rights_too() -> None:
    read_keys("a:1:viewer", "", "a=viewer")
    with pytest.raises(StartRefused, match="both named a"):
        read_keys("a:1:viewer", "", "a=operator")
    with pytest.raises(StartRefused, match="entry 2 grants a other rights"):
        read_keys("", "", "a=viewer;a=operator")
