"""A certificate authority for tests, and TLS server contexts with its certificates."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALIDITY: Final = timedelta(days=1)


class CertificateAuthority:
    """Signs server certificates; a client that loads its certificate file trusts them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name("Authority of a test")
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        certificate = (
            _certificate_builder(self._name, self._name, self._key, datetime.now(UTC) + _VALIDITY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate_file: Final = folder / "authority.pem"
        """The certificate of the authority, for SSL_CERT_FILE."""
        self.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server_context(self, address: str = "127.0.0.1", *, expired: bool = False) -> ssl.SSLContext:
        """Make the TLS context of a server at an address."""
        key = ec.generate_private_key(ec.SECP256R1())
        not_after = datetime.now(UTC) + (-_VALIDITY if expired else _VALIDITY)
        builder = _with_address(
            _certificate_builder(_common_name("Server of a test"), self._name, key, not_after), address
        )
        return _context(self._folder, key, builder.sign(self._key, hashes.SHA256()))


def self_signed_context(folder: Path, address: str = "127.0.0.1") -> ssl.SSLContext:
    """Make the TLS context of a server with a self-signed certificate."""
    key, name = ec.generate_private_key(ec.SECP256R1()), _common_name("Server of a test")
    builder = _with_address(_certificate_builder(name, name, key, datetime.now(UTC) + _VALIDITY), address)
    return _context(folder, key, builder.sign(key, hashes.SHA256()))


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate_builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, not_after: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(not_after - 3 * _VALIDITY)
        .not_valid_after(not_after)
    )


def _with_address(builder: x509.CertificateBuilder, address: str) -> x509.CertificateBuilder:
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    return builder.add_extension(names, critical=False)


def _context(folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> ssl.SSLContext:
    file = folder / "server.pem"
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *form) + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context
