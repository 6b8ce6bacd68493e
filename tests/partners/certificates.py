"""A certificate authority of the test's own, and the certificates that it signs.

Made with `cryptography` (an extra of the developer's, not of the gateway): validity in the past
or future is a plain argument there, which the `openssl` program of Debian 12 offers only through
a CA database, and a test needs no other program.
"""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
YEAR = 365 * DAY


@dataclass(frozen=True, slots=True)
class Pair:
    """Files of one certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """Signs; `ca.cert` is what the others trust."""

    def __init__(self, folder: Path, name: str = "test ca") -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * YEAR)
            .not_valid_after(now + 10 * YEAR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.cert = folder / f"{name.replace(' ', '-')}.pem"
        self.cert.write_bytes(built.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str,
        *,
        hosts: tuple[str, ...] = (),
        begins: timedelta = -DAY,
        ends: timedelta = YEAR,
        file: str = "",
    ) -> Pair:
        """Sign a certificate for `name` and `hosts` (names or IP addresses), valid around now."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_name_of(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        cert = builder.sign(self._key, hashes.SHA256())
        pair = Pair(self._folder / f"{file or name}.pem", self._folder / f"{file or name}.key")
        pair.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(key_bytes(key))
        return pair


def key_bytes(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    """The key as a PEM file's bytes, encrypted when there is a password."""
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        how = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def encrypt(pair: Pair, password: bytes) -> None:
    """Rewrite the key's file so that it needs a password."""
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    pair.key.write_bytes(key_bytes(key, password))


def _name_of(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
