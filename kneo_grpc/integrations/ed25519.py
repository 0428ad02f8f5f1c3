"""Ed25519 keys for bundles: the private one signs, and who verifies holds no secret.

Needs the package cryptography, of the extra `signing` and of the extra `gateway`; it is loaded when
a key is.
"""

import base64
import binascii
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from kneo_grpc.domain.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

ALGORITHM = "Ed25519"
_KEY_FILE_MAX = 16_384


class Ed25519Signer:
    """A private key."""

    algorithm = ALGORITHM

    def __init__(self, key: "ed25519.Ed25519PrivateKey") -> None:
        self._key = key
        self.key_id = _key_id(key.public_key())

    def sign(self, content: bytes) -> str:
        """Return the signature in hexadecimal."""
        return self._key.sign(content).hex()

    @property
    def verifier(self) -> "Ed25519Verifier":
        """The public half."""
        return Ed25519Verifier(self._key.public_key())


class Ed25519Verifier:
    """A public key."""

    algorithm = ALGORITHM

    def __init__(self, key: "ed25519.Ed25519PublicKey") -> None:
        self._key = key
        self.key_id = _key_id(key)

    def verifies(self, content: bytes, key_id: str, signature: str) -> bool:
        """Tell whether the private half made the signature and it names this key."""
        from cryptography.exceptions import InvalidSignature

        try:
            raw = bytes.fromhex(signature)
            # One signature has one text.
            if key_id != self.key_id or raw.hex() != signature:
                return False
            self._key.verify(raw, content)
        except (ValueError, InvalidSignature):
            return False
        return True


def read_private_key(path: Path) -> Ed25519Signer:
    """Read a private key in PEM without a passphrase. Raises InvalidInput."""
    _require()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_content(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(
            f"{path} holds no Ed25519 private key in PEM without a passphrase; make one with "
            "`openssl genpkey -algorithm ed25519`"
        )
    return Ed25519Signer(key)


def read_public_key(text: str) -> Ed25519Verifier:
    """Read a public key: the base64 of its 32 bytes, or the path of a PEM file. Raises
    InvalidInput.
    """
    _require()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    raw = _raw(text)
    try:
        if raw is not None:
            return Ed25519Verifier(Ed25519PublicKey.from_public_bytes(raw))
        key = load_pem_public_key(_content(Path(text)))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidInput(
            f"{text[:200]} holds no Ed25519 public key in PEM; take it out of the private one with "
            "`openssl pkey -pubout`"
        )
    return Ed25519Verifier(key)


def _raw(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return raw if len(raw) == 32 else None


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_KEY_FILE_MAX)
    except OSError as error:
        raise InvalidInput(f"cannot read the key {path}: {error.strerror or error}") from None


def _key_id(key: "ed25519.Ed25519PublicKey") -> str:
    """Return the first half of the key's SHA-256: short, and tells keys apart."""
    return "ed25519:" + hashlib.sha256(key.public_bytes_raw()).hexdigest()[:32]


def _require() -> None:
    try:
        import cryptography  # noqa: F401 # only whether it is there
    except ImportError:
        raise InvalidInput(
            "Ed25519 keys need the package cryptography: pip install 'kneo-grpc[signing]'"
        ) from None
