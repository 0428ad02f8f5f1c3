"""The local certificate over its life."""

import ipaddress
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from kneo_grpc.app.gateway import LocalCertificate, ensure_local_certificate
from kneo_grpc.domain.errors import StartRefused

HOSTS = ("localhost", "127.0.0.1", "::1")


class SetClock:
    def __init__(self) -> None:
        self.time = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    async def sleep(self, duration: timedelta) -> None:
        self.time += duration


def content(files: LocalCertificate) -> tuple[bytes, bytes, bytes]:
    return files.certificate.read_bytes(), files.key.read_bytes(), files.ca.read_bytes()


def test_it_names_the_hosts_and_is_signed_by_the_authority(tmp_path: Path) -> None:
    files = ensure_local_certificate(tmp_path, HOSTS)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(files.ca.read_bytes()))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    addresses = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    assert names.get_values_for_type(x509.IPAddress) == addresses


def test_keys_and_their_folder_are_the_owners_alone(tmp_path: Path) -> None:
    files = ensure_local_certificate(tmp_path / "tls", HOSTS)
    for path in (files.key.parent, files.key, tmp_path / "tls" / "ca.key"):
        assert path.stat().st_mode & 0o077 == 0


def test_it_is_reused_until_thirty_days_before_its_end(tmp_path: Path) -> None:
    clock = SetClock()
    first = content(ensure_local_certificate(tmp_path, HOSTS, clock=clock))
    clock.time += timedelta(days=366)
    assert content(ensure_local_certificate(tmp_path, HOSTS, clock=clock)) == first
    clock.time += timedelta(days=2)
    second = content(ensure_local_certificate(tmp_path, HOSTS, clock=clock))
    assert second[:2] != first[:2]
    # The authority stays, so that clients go on trusting it.
    assert second[2] == first[2]
    clock.time += timedelta(days=3650)
    assert content(ensure_local_certificate(tmp_path, HOSTS, clock=clock))[2] != first[2]


@pytest.mark.parametrize("spoil", ["hosts", "key", "certificate", "authority"])
def test_it_is_made_anew_where_it_does_not_fit(tmp_path: Path, spoil: str) -> None:
    files = ensure_local_certificate(tmp_path, HOSTS)
    first = content(files)
    other = ensure_local_certificate(tmp_path / "other", HOSTS)
    hosts: tuple[str, ...] = HOSTS
    if spoil == "hosts":
        hosts = (*HOSTS, "box.example")
    elif spoil == "key":
        files.key.write_bytes(other.key.read_bytes())
    elif spoil == "certificate":
        files.certificate.write_text("cut off")
    else:
        files.ca.unlink()
    again = content(ensure_local_certificate(tmp_path, hosts))
    assert again[0] != first[0]
    certificate = x509.load_pem_x509_certificate(again[0])
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(again[2]))


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartRefused, match="cannot be kept in"):
        ensure_local_certificate(tmp_path / "file", HOSTS)


def test_without_the_extra_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.delitem(sys.modules, "kneo_grpc.app.gateway.issuing", raising=False)
    monkeypatch.delattr("kneo_grpc.app.gateway.issuing", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(StartRefused, match=re.escape("kneo-grpc[gateway]")):
        ensure_local_certificate(tmp_path, HOSTS)
