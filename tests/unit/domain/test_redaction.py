"""What is blanked, what never is, and that both hold for any text."""

import base64
import itertools
import json
import random
import string
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kneo_grpc.domain.redaction import MARKER, PieceRedactor, Redactor, Rules, rules_of, secrets_in
from kneo_grpc.domain.redaction.rules import SECRET_CHARS_MIN

REDACTOR = Redactor()
KEY_CHARS = string.ascii_letters + string.digits

SECRET_KEYS = (
    "api_key",
    "apikey",
    "apiKey",
    "API-Key",
    "X-Api-Key",
    "openai_api_key",
    "authorization",
    "Authorization",
    "bearer",
    "cookie",
    "Set-Cookie",
    "set_cookie",
    "credential",
    "credentials",
    "password",
    "passwd",
    "dbPassword",
    "user.password",
    "private_key",
    "privateKey",
    "refresh_token",
    "access_token",
    "accessToken",
    "id_token",
    "secret",
    "client_secret",
    "clientSecret",
    "session",
    "token",
    "tokens",
    "auth_token",
    "email",
    "userEmail",
    "ssn",
    "social_security",
    "ca_bundle",
    "client_cert",
    "client_key",
    "clientKey",
    "passphrase",
    "signing_key",
)
PLAIN_KEYS = (
    "secretary",
    "tokenizer",
    "tokenize",
    "session_id",
    "sessionId",
    "parent_session_id",
    "session_ids",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "prompt_tokens",
    "completion_tokens",
    "token_usage",
    "usage",
    "max_tokens",
    "tokens_input_total",
    "kneo_tokens_total",
    "trace_event_count",
    "service_tokens",
    "author",
    "authority",
    "key",
    "keys",
    "idempotency_key",
    "plan_digest",
    "assignee",
    "reviewers",
    "passenger",
    "compass",
    "obsession",
    "cooking",
    "run_id",
    "request_id",
    "created_at",
    "monkey",
    "client",
    "clients",
    "private",
    "public",
)

BLANKED = {
    "mail bob.x+1@corp.example.com now": "mail [REDACTED_EMAIL] now",
    "to%3Abob%40corp.example": "[REDACTED_EMAIL]",
    "ssn 123-45-6789.": "ssn [REDACTED_SSN].",
    "Authorization: Bearer abcdef12345": "Authorization: Bearer [REDACTED]",
    "bearer%20abcdef12345": "bearer%20[REDACTED]",
    "Basic dXNlcjpwYXNz": "Basic [REDACTED]",
    "Negotiate YIIJvwYGKwYBBQUCoIIJ": "Negotiate [REDACTED]",
    "NTLM TlRMTVNTUAABAAAA": "NTLM [REDACTED]",
    "Token 9944b09199c62bcf9418": "Token [REDACTED]",
    'Digest username="Mufasa", response="6629fae"': "Digest [REDACTED]",
    "Cookie: a=b; c=d\nnext": "Cookie: [REDACTED]\nnext",
    "Set-Cookie: sid=123; Path=/": "Set-Cookie: [REDACTED]",
    "use sk-abcdefghijkl_-9 here": "use [REDACTED] here",
    "AKIAABCDEFGHIJKLMNOP": "[REDACTED]",
    "x=ASIAABCDEFGHIJKLMNOP": "x=[REDACTED]",
    "ghp_" + "a1" * 18: "[REDACTED]",
    "github_pat_" + "a1" * 18: "[REDACTED]",
    "AIza" + "b1" * 17 + "c": "[REDACTED]",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_def": "[REDACTED]",
    "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- x": "[REDACTED] x",
    "password: hunter2": "password=[REDACTED]",
    "my passwd = hunter2, and": "my passwd = [REDACTED], and",
    "https://x.example/?access_token=abc&y=2": "https://x.example/?access_token=[REDACTED]&y=2",
    "postgresql://kneo:hunter2@db.example.com/x": "postgresql://kneo:[REDACTED]@db.example.com/x",
    '{"api_key": "x y \\" z", "a": 1}': '{"api_key": "[REDACTED]", "a": 1}',
    '{\\"password\\": \\"x\\", \\"b\\": 2}': '{\\"password\\": \\"[REDACTED]\\", \\"b\\": 2}',
    '{"secret": {"a": [1, "}"]}, "b": 1}': '{"secret": "[REDACTED]", "b": 1}',
    '{"pin_token": 123456}': '{"pin_token": "[REDACTED]"}',
    "password='it\"s long'": "password='[REDACTED]'",
    'password="cut off her': 'password="[REDACTED]',
    "password%3Dhunter2&x": "password%3D[REDACTED]&x",
    "Authorization: hunter2hunter2": "Authorization=[REDACTED]",
    "X-Api-Key: abc": "X-Api-Key=[REDACTED]",
}
UNTOUCHED = (
    "run_01a1fe0e-1f86-7880-93f4-833d37149082",
    "ckpt_01a1fe0e-1f86-7ec8-b4d7-baffc867a39c",
    "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
    "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
    "2026-11-21T12:21:40.870765Z",
    "max_tokens=4000, total_tokens: 12, tokens: 5",
    '{"usage": {"input_tokens": 3, "total_tokens": 9}}',
    "secretary: Ann; tokenizer: bpe",
    "the basic idea of a digest",
    "Basic research needs a token of trust",
    "a bearer of news",
    "risk-assessment-of-things and task-123456789012345",
    "simple@dummy",
    "package@1.2.3",
    "examples/smoke_human_workflow.yaml",
    "kneo_grpc.examples.functions.summarize",
    "Token::new(1)",
    "if token == expected:",
    "password: null",
    "https://example.com:8443/a@b",
    "call 555-0123-45 or 12-34-5678",
    "data:image/png;base64,"
    + base64.b64encode(b"\x89PNG\r\n\x1a\n" + random.Random(4).randbytes(3000)).decode(),
    base64.b64encode(b"a harmless text that says nothing of note, in base64").decode(),
    "Füße, naïve, 日本語のテキスト, 🙂",
    "",
)


@pytest.mark.parametrize(("text", "expected"), BLANKED.items())
def test_a_secret_is_blanked_by_its_shape_or_the_name_before_it(text: str, expected: str) -> None:
    assert REDACTOR.text(text) == expected
    assert REDACTOR.text(expected) == expected


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_is_no_secret_stays(text: str) -> None:
    assert REDACTOR.text(text) is text


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_what_a_secret_key_holds_is_blanked(key: str) -> None:
    values = ("hunter", ["a"], {"b": {"c": "d"}}, *([4711] if key != "tokens" else []))
    for value in values:
        assert REDACTOR.data({"a": [{key: value}]}) == {"a": [{key: MARKER}]}
    nothing = {key: None, "x": {key: True}, "y": {key: ""}}
    assert REDACTOR.data(nothing) is nothing


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_what_another_key_holds_stays(key: str) -> None:
    value = {key: ["hunter", 4711, {"a": "b"}]}
    assert REDACTOR.data(value) is value


def test_numbers_that_measure_stay() -> None:
    value = {"token_budget": 100, "tokens": 5, "session_timeout": 30, "password_length_min": 8}
    assert REDACTOR.data(value) is value


def test_people_who_act_keep_their_addresses_but_no_keys() -> None:
    value = {"assignee": "boss@corp.example", "reviewers": ["a@b.example"], "actor": "x@y.example"}
    assert REDACTOR.data(value) is value
    assert REDACTOR.data({"assignee": "sk-abcdefghijklmn"}) == {"assignee": MARKER}
    assert REDACTOR.data({"prompt": "ask boss@corp.example"}) == {"prompt": "ask [REDACTED_EMAIL]"}


def test_a_pair_of_name_and_value_is_read_as_a_key() -> None:
    pairs = [
        {"name": "Authorization", "value": "zz"},
        {"path": "state.db.password[0].x", "before": 1, "after": {"q": 2}},
        {"path": "request.assignee", "value": "boss@corp.example"},
        {"path": "state.session_id", "value": "s-1"},
    ]
    assert REDACTOR.data(pairs) == [
        {"name": "Authorization", "value": MARKER},
        {"path": "state.db.password[0].x", "before": MARKER, "after": MARKER},
        *pairs[2:],
    ]


def test_keys_themselves_are_blanked_and_stay_apart() -> None:
    data = {"sk-abcdefghijklmn1": 1, "sk-abcdefghijklmn2": 2}
    assert REDACTOR.data(data) == {MARKER: 1, f"{MARKER}#2": 2}


def test_an_inventory_of_secrets_still_tells_where_they_are() -> None:
    entry = {"name": "x", "env_var": "MY_API_KEY", "present": True, "value": MARKER}
    inventory = {"service_tokens": {"MY_API_KEY": entry}}
    assert REDACTOR.data(inventory) is inventory
    missing = {"name": "x", "env_var": "MY_API_KEY", "present": False, "status": "missing"}
    inventory = {"service_tokens": {"MY_API_KEY": missing}}
    assert REDACTOR.data(inventory) is inventory
    for more in ({"status": "hunter"}, {"secret": "hunter"}, {"present": "hunter"}):
        assert REDACTOR.data({"MY_API_KEY": {**missing, **more}}) == {"MY_API_KEY": MARKER}
    assert REDACTOR.data({"MY_API_KEY": {**entry, "value": "hunter"}}) == {"MY_API_KEY": MARKER}


def test_depth_is_safe() -> None:
    deep: object = "sk-abcdefghijklmnop"
    for _ in range(5000):
        deep = [deep]
    assert "sk-" not in str(REDACTOR.data(deep))


def test_base64_stays_base64_of_the_text_without_its_secret() -> None:
    for before in ("", "x", "xy", "path/"):
        for text in ("a sk-abcdefghijklmnop b", '{"password": "hünter2hünter2", "n": "ä"}'):
            shown = REDACTOR.text(before + base64.b64encode(text.encode()).decode())
            told = base64.b64decode(shown[len(before) :]).decode()
            assert told == REDACTOR.text(text) != text
    wrapped = base64.encodebytes(b"much to tell " * 9 + b"sk-abcdefghijklmnop" + b" more" * 30)
    told = base64.b64decode(REDACTOR.text(wrapped.decode()))
    assert told == b"much to tell " * 9 + MARKER.encode() + b" more" * 30


def secret_of(source: random.Random) -> str:
    """A value with one of the shapes that are known, or a known name before it."""

    def some(size: int, chars: str = KEY_CHARS) -> str:
        return "".join(source.choice(chars) for _ in range(size))

    upper = string.ascii_uppercase + string.digits
    return source.choice(
        (
            lambda: f"{some(9)}@{some(8).lower()}.example",
            lambda: f"{some(3, '123456789')}-{some(2, '123456789')}-{some(4, '123456789')}",
            lambda: f"Bearer {some(20)}",
            lambda: f"Basic {base64.b64encode(some(15).encode()).decode()}",
            lambda: f"sk-{some(24)}",
            lambda: f"AKIA{some(16, upper)}",
            lambda: f"ghp_{some(36)}",
            lambda: f"AIza{some(35)}",
            lambda: f"eyJ{some(20)}.eyJ{some(20)}.{some(20)}",
            lambda: f"password={some(14)}",
            lambda: f"https://u:{some(14)}@host/x",
            lambda: f"https://host/x?api_key={some(14)}",
            lambda: f"Cookie: sid={some(20)}",
        )
    )()


def core(secret: str) -> str:
    """The part of a made secret that nobody may see."""
    for before, after in (("=", ""), ("u:", "@host"), ("Bearer ", ""), ("Basic ", "")):
        if before in secret and after in secret:
            secret = secret.split(before, 1)[1]
            return secret.split(after)[0].rstrip("=") if after else secret.rstrip("=")
    return secret


SAFE = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), around=st.tuples(SAFE, SAFE), layers=st.integers(0, 2))
def test_no_secret_survives_in_any_text(seed: int, around: tuple[str, str], layers: int) -> None:
    secret = secret_of(random.Random(seed))
    text = f"{around[0]} {secret} {around[1]}"
    for _ in range(layers):
        text = base64.b64encode(text.encode()).decode()
    shown = REDACTOR.text(text)
    for _ in range(layers):
        shown = base64.b64decode(shown).decode()
    assert core(secret) not in shown
    assert REDACTOR.suspicious(b"\x0a\x30" + text.encode() + b"\x12\x00")


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=300) | SAFE)
def test_redaction_is_done_after_one_time(text: str) -> None:
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | SAFE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SAFE, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(value=JSON)
def test_what_is_not_suspicious_is_never_changed(value: object) -> None:
    if not REDACTOR.suspicious(json.dumps(value).encode()):
        assert REDACTOR.data(value) is value


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 9000), max_size=12))
def test_a_secret_that_leaves_in_pieces_is_blanked(seed: int, cuts: list[int]) -> None:
    source = random.Random(seed)
    words = ["word " * source.randrange(1, 200) for _ in range(8)]
    secrets = [secret_of(source) for _ in words]
    text = "".join(f"{secret}\n{word}" for secret, word in zip(secrets, words, strict=True))
    raw = text.encode()
    places = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    pieces = PieceRedactor(REDACTOR)
    sent = [pieces.feed(raw[a:b]) for a, b in itertools.pairwise(places)]
    shown = b"".join((*sent, pieces.end())).decode()
    assert shown == REDACTOR.text(text)
    assert not [secret for secret in secrets if core(secret) in shown]


def test_lines_leave_at_once_and_only_whole() -> None:
    pieces = PieceRedactor(REDACTOR, by_line=True)
    assert pieces.feed(b'{"a": 1}\n{"k": "sk-abcdef') == b'{"a": 1}\n'
    assert pieces.feed(b'ghijklmnop"}\n{"b"') == b'{"k": "[REDACTED]"}\n'
    assert pieces.end() == b'{"b"'


def test_a_long_text_does_not_grow_without_bound_while_it_is_held() -> None:
    pieces = PieceRedactor(REDACTOR)
    sent = sum(len(pieces.feed(b"word " * 1000)) for _ in range(300))
    assert sent > 300 * 5000 - 8000


def test_the_operator_s_words_and_patterns_count() -> None:
    rules, faults = rules_of(
        {
            "KNEO_SERV_REDACT_KEYS": "tax number, IBAN",
            "KNEO_SERV_REDACT_PATTERNS": r"\bACME-\d{6}\b",
        }
    )
    assert faults == []
    redactor = Redactor(rules)
    value = {"taxNumber": "1", "my-iban": "DE02", "note": "see ACME-123456; tax_number: 77"}
    assert redactor.data(value) == {
        "taxNumber": MARKER,
        "my-iban": MARKER,
        "note": "see [REDACTED]; tax_number=[REDACTED]",
    }


def test_what_the_operator_sets_wrongly_is_told_without_the_value() -> None:
    _, faults = rules_of({"KNEO_SERV_REDACT_KEYS": "a,--", "KNEO_SERV_REDACT_PATTERNS": "ok ( x*"})
    assert len(faults) == 3
    assert all("x*" not in fault for fault in faults)


def test_the_process_s_own_secrets_are_known() -> None:
    source = {
        "KNEO_SERV_API_KEYS": "ann:key-of-ann-1:viewer; bob:key-of-bob-2:admin",
        "KNEO_SERV_ADMIN_API_KEY": "the-admin-key",
        "KNEO_SERV_DATABASE_URL": "postgresql://kneo:p%40ssw0rd!x@db/kneo",
        "OPENAI_API_KEY": "not-like-others-1",
        "PWD": "/home/someone/here",
        "GIT_AUTHOR_EMAIL": "ann@corp.example",
        "DB_PASSWORD": "postgres",
        "TLS_KEY_PASSWORD_FILE": "/run/secrets/key",
        "PLAIN": "what-ever-it-is",
        "NAMED": "secret-by-name-only",
    }
    known = set(secrets_in(source, ("NAMED",)))
    assert known == {
        "key-of-ann-1",
        "key-of-bob-2",
        "the-admin-key",
        "p%40ssw0rd!x",
        "p@ssw0rd!x",
        "not-like-others-1",
        "secret-by-name-only",
    }
    redactor = Redactor(Rules(secrets=tuple(known)))
    for secret in known:
        for spelt in (
            secret,
            quote(secret, safe=""),
            base64.b64encode(f"a {secret}".encode()).decode(),
        ):
            assert redactor.suspicious(spelt.encode())
            shown = redactor.text(f"it is <{spelt}>")
            assert spelt not in shown
    assert all(secret not in repr(Rules(secrets=tuple(known))) for secret in known)
    assert all(len(secret) >= SECRET_CHARS_MIN for secret in known)
