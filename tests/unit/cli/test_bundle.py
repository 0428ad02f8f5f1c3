"""kneo spec bundle, and running what it signed."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SPEC = "version: v1\nagent:\n  name: a\n  model: {provider: dummy, name: dummy, temperature: 1.0}\n"
KEY = {"KNEO_SERV_SPEC_SIGNING_KEY": "top secret"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    for name in ("KNEO_ENV", "KNEO_PROJECT_CONFIG", "KNEO_SERV_SPEC_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("KNEO_SERV_SPEC_VERIFY_KEYS", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "over.yaml").write_text("agent: {description: over}\n")
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (tmp_path / "public.pem").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return tmp_path


def sign(kneo, *words: str, env=KEY, path: str = "spec.yaml"):
    return kneo(
        "spec", "bundle", "sign", path, "-o", "b.json", "--approved-by", "me", *words, env=env
    )


def verify(kneo, *words: str, env=KEY) -> tuple[int, dict]:
    result = kneo("spec", "bundle", "verify", "b.json", "--json", *words, env=env)
    return result.exit_code, json.loads(result.stdout)


def test_what_was_signed_verifies(kneo, folder: Path) -> None:
    result = sign(kneo, "--env", "prod", "--overlay", "over.yaml", "--expires-in", "30", "--json")
    bundle = json.loads((folder / "b.json").read_text())
    assert json.loads(result.stdout) == {
        "output": "b.json",
        "digest": bundle["digest"],
        "signature": {"algorithm": "HMAC-SHA256", "key_id": "KNEO_SERV_SPEC_SIGNING_KEY"},
    }
    assert bundle["spec"]["agent"]["description"] == "over"
    assert set(bundle["metadata"]) == {"approved_by", "created_at", "environment", "expires_at"}
    fine = {"valid": True, "digest_valid": True, "signature_valid": True, "errors": []}
    assert verify(kneo) == (0, fine)
    assert verify(kneo, "--env", "prod") == (0, fine)
    shown = kneo("spec", "bundle", "verify", "b.json", env=KEY)
    assert shown.stdout == "b.json is valid: approved by me, for prod.\n"


def test_what_was_changed_does_not(kneo, folder: Path) -> None:
    sign(kneo)
    bundle = json.loads((folder / "b.json").read_text())
    bundle["spec"]["agent"]["name"] = "b"
    (folder / "b.json").write_text(json.dumps(bundle))
    code, answer = verify(kneo)
    assert (code, answer["valid"], answer["digest_valid"], answer["signature_valid"]) == (
        1,
        False,
        False,
        False,
    )
    assert len(answer["errors"]) == 2
    shown = kneo("spec", "bundle", "verify", "b.json", env=KEY)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr.startswith("error: b.json is not valid: the digest does not match")


def test_another_environment_or_key_is_told(kneo) -> None:
    sign(kneo, "--env", "prod")
    code, answer = verify(kneo, "--env", "dev")
    assert (code, answer["signature_valid"], len(answer["errors"])) == (1, True, 1)
    code, answer = verify(kneo, env={"KNEO_SERV_SPEC_SIGNING_KEY": "other"})
    assert (code, answer["digest_valid"], answer["signature_valid"]) == (1, True, False)
    code, answer = verify(kneo, env={})
    assert (code, answer["signature_valid"]) == (1, False)


def test_blanks_around_a_key_are_none_of_it(kneo) -> None:
    sign(kneo, env={"KNEO_SERV_SPEC_SIGNING_KEY": " top secret\n"})
    assert verify(kneo)[0] == 0


def test_another_variable_may_hold_the_key(kneo, folder: Path) -> None:
    env = {"CI_KEY": "x"}
    assert sign(kneo, "--key-env", "CI_KEY", env=env).exit_code == 0
    assert json.loads((folder / "b.json").read_text())["signature"]["key_id"] == "CI_KEY"
    assert verify(kneo, "--key-env", "CI_KEY", env=env)[0] == 0


def test_a_public_key_verifies(kneo) -> None:
    assert sign(kneo, "--ed25519-key", "key.pem", env={}).exit_code == 0
    assert verify(kneo, "--public-key", "public.pem", env={})[0] == 0
    assert verify(kneo, env={"KNEO_SERV_SPEC_VERIFY_KEYS": "public.pem"})[0] == 0
    assert verify(kneo)[0] == 1


@pytest.mark.parametrize(
    ("words", "env", "said"),
    [
        ((), {}, "KNEO_SERV_SPEC_SIGNING_KEY holds no key"),
        (("--ed25519-key", "public.pem"), KEY, "no Ed25519 private key"),
        ((), {"KNEO_SERV_SPEC_SIGNING_KEY": " \n"}, "KNEO_SERV_SPEC_SIGNING_KEY holds no key"),
        ((), {"KNEO_SERV_SPEC_SIGNING_KEY": "k\udcff"}, "holds bytes that are not UTF-8"),
        (("--approved-by", " "), KEY, "names nobody"),
        (("-o", "gone/b.json"), KEY, "cannot write gone/b.json"),
    ],
)
def test_what_cannot_be_signed_is_told_in_one_line(kneo, words, env, said) -> None:
    result = sign(kneo, *words, env=env)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert said in line


@pytest.mark.parametrize("words", [("--expires-in", "0"), ("--ed25519-key", "gone.pem")])
def test_wrong_options_are_wrong_usage(kneo, words) -> None:
    assert sign(kneo, *words).exit_code == 2


def test_nobody_signs_what_cannot_run(kneo, folder: Path) -> None:
    (folder / "spec.yaml").write_text("version: v1\nagent: {nmae: a}\n")
    result = sign(kneo)
    assert result.exit_code == 1
    assert "spec.yaml:2:9: error E_SCHEMA" in result.stderr
    assert not (folder / "b.json").exists()


def test_the_policy_of_its_environment_must_hold(kneo, folder: Path) -> None:
    (folder / "kneo_serv.yaml").write_text(
        "project: {name: a}\nenvironments:\n"
        "  locked: {policy_enforcement: {require_signed_bundle: true}}\n"
        "  prod: {policy_enforcement: {require_guardrails: true}}\n"
    )
    assert sign(kneo, "--env", "locked").exit_code == 0
    result = sign(kneo, "--env", "prod")
    assert result.exit_code == 1
    assert "environment_policy_blocked" in result.stderr


@pytest.mark.parametrize("content", ["", "{", "[]", "version: v1", "\x00"])
def test_what_is_no_bundle_is_told(kneo, folder: Path, content: str) -> None:
    (folder / "b.json").write_text(content)
    result = kneo("spec", "bundle", "verify", "b.json", env=KEY)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert kneo("spec", "bundle", "verify", "gone.json").exit_code == 2


def test_a_bundle_is_run_as_the_text_that_was_signed(kneo, backend, folder: Path) -> None:
    sign(kneo, "--env", "prod")
    backend.answers["create_run"] = {"run_id": "r", "status": "completed", "output_text": "hi"}
    words = ("run", "b.json", "-i", "x", "--env", "prod", "--service-url", "http://localhost:1")
    assert kneo(*words).exit_code == 0
    ((_, (body,)),) = backend.calls
    assert body["bundle"] == {"json": (folder / "b.json").read_text()}
    assert body["environment"] == "prod"
    assert "spec" not in body and "spec_path" not in body


def test_where_the_project_demands_one_nothing_else_runs(kneo, backend, folder: Path) -> None:
    (folder / "kneo_serv.yaml").write_text(
        "project: {name: a, default_environment: locked}\nenvironments:\n"
        "  locked: {policy_enforcement: {require_signed_bundle: true}}\n"
    )
    backend.answers["validate_spec"] = {"valid": True, "diagnostics": []}
    backend.answers["create_run"] = {"run_id": "r", "status": "completed", "output_text": "hi"}
    result = kneo("run", "spec.yaml", "-i", "x")
    assert result.exit_code == 1
    assert "E_ENV_POLICY_SIGNED_BUNDLE" in result.stderr
    assert backend.calls == []
    sign(kneo)
    assert kneo("run", "b.json", "-i", "x").exit_code == 0


def test_what_is_no_bundle_is_told_with_the_files_name(kneo, tmp_path):
    path = tmp_path / "b.json"
    path.write_text("hm")
    result = kneo("spec", "bundle", "verify", str(path))
    assert result.exit_code == 1
    assert "spec:" not in result.stderr
    assert f"{path}: error E_BUNDLE the bundle is not JSON" in result.stderr
