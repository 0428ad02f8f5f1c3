"""Ed25519 keys from files."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kneo_grpc.domain.errors import InvalidInput
from kneo_grpc.integrations.ed25519 import read_private_key, read_public_key

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo
PLAIN = serialization.NoEncryption()


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(b"k" * 32)


@pytest.fixture
def private(tmp_path: Path, key: Ed25519PrivateKey) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_bytes(PEM, PKCS8, PLAIN))
    return path


def test_a_public_key_is_a_file_or_base64(tmp_path: Path, private: Path, key) -> None:
    signer = read_private_key(private)
    public = tmp_path / "public.pem"
    public.write_bytes(key.public_key().public_bytes(PEM, PUBLIC))
    text = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    signature = signer.sign(b"content")
    for given in (str(public), text):
        verifier = read_public_key(given)
        assert verifier.key_id == signer.key_id
        assert verifier.verifies(b"content", signer.key_id, signature)
        assert not verifier.verifies(b"other", signer.key_id, signature)
        assert not verifier.verifies(b"content", "ed25519:0", signature)


def test_what_is_no_key_is_told(tmp_path: Path, private: Path, key) -> None:
    encrypted = tmp_path / "encrypted.pem"
    secret = serialization.BestAvailableEncryption(b"x")
    encrypted.write_bytes(key.private_bytes(PEM, PKCS8, secret))
    other = tmp_path / "other.pem"
    other.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(PEM, PKCS8, PLAIN))
    text = tmp_path / "text.pem"
    text.write_text("nothing")
    for path in (encrypted, other, text, tmp_path / "gone.pem", tmp_path):
        with pytest.raises(InvalidInput):
            read_private_key(path)
    for path in (private, other, text, tmp_path / "gone.pem"):
        with pytest.raises(InvalidInput):
            read_public_key(str(path))


def test_a_private_key_is_not_repeated_in_a_message(private: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_public_key(str(private))
    assert "PRIVATE" not in caught.value.message
