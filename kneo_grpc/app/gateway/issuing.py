"""Makes keys and certificates. Imported late: cryptography is an extra."""

import ipaddress
import os
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kneo_grpc.app.gateway.settings import LocalCertificate

_RENEW_BEFORE = timedelta(days=30)
_CA_LIFE = timedelta(days=3650)
# Apple's systems refuse longer ones.
_SERVER_LIFE = timedelta(days=397)
# Clients whose clock is a little behind.
_BACKDATED = timedelta(hours=1)

_Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def ensure(files: LocalCertificate, ca_key: Path, hosts: tuple[str, ...], now: datetime) -> None:
    """Leave a fitting pair in files; see certificate.ensure_local_certificate."""
    ca = _load(files.ca, ca_key, now)
    if ca is None:
        ca = _new_ca(now)
        _write(ca, files.ca, ca_key)
    server = _load(files.certificate, files.key, now)
    if server is None or not _fits(server[0], ca[0], hosts):
        _write(_new_server(ca, hosts, now), files.certificate, files.key)


def _load(certificate_path: Path, key_path: Path, now: datetime) -> _Pair | None:
    """Return a pair that belongs together and lasts; None for anything else."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    if key.public_key() != certificate.public_key():
        return None
    if certificate.not_valid_after_utc - now < _RENEW_BEFORE:
        return None
    # A restored backup may have lost the mode.
    key_path.chmod(0o600)
    return certificate, key


def _fits(certificate: x509.Certificate, ca: x509.Certificate, hosts: tuple[str, ...]) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return set(names) == set(_names(hosts))


def _names(hosts: tuple[str, ...]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for host in hosts:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host.strip("[]"))))
        except ValueError:
            found.append(x509.DNSName(host))
    return found


def _new_ca(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject("Kneo local authority")
    usage = _usage(signs_certificates=True)
    certificate = (
        _builder(name, name, key, now, _CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _new_server(ca: _Pair, hosts: tuple[str, ...], now: datetime) -> _Pair:
    ca_certificate, ca_key = ca
    key = ec.generate_private_key(ec.SECP256R1())
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    certificate = (
        _builder(_subject("Kneo gateway"), ca_certificate.subject, key, now, _SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(purpose, critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return certificate, key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + life)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(pair: _Pair, certificate_path: Path, key_path: Path) -> None:
    """Replace both files. A crash between them leaves a pair that _load refuses."""
    certificate, key = pair
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _replace(key_path, pem, 0o600)
    _replace(certificate_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
