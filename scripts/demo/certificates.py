"""The stand-in's own certificate authority: a server certificate for any host, created on demand."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import ssl
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from pathlib import Path

AUTHORITY_NAME = "codex-tap demo authority"
_LIFETIME = dt.timedelta(days=7)
_CLOCK_SKEW = dt.timedelta(days=1)


class Authority:
    """Signs certificates with a key in memory; only clients that are configured with `ca_file` trust them."""

    def __init__(self, folder: Path) -> None:
        """Create the authority.

        Args:
            folder: the folder for `ca.pem`, the root certificate, and a file with key and certificate for each host.
        """
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign_root()
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        self.certificate_file = functools.cache(self._write_leaf)

    def server_context(self, host: str, protocols: list[str]) -> ssl.SSLContext:
        """Return a TLS server context with a certificate for `host` and the ALPN `protocols`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate_file(host))
        context.set_alpn_protocols(protocols)
        return context

    def _write_leaf(self, host: str) -> Path:
        path = self._folder / f"host-{host.encode().hex()[:128]}.pem"
        key = self._leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(key + self._sign_leaf(host).public_bytes(serialization.Encoding.PEM))
        return path

    def _sign_root(self) -> x509.Certificate:
        builder = _builder(AUTHORITY_NAME, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
        return builder.sign(self._key, hashes.SHA256())

    def _sign_leaf(self, host: str) -> x509.Certificate:
        builder = _builder(host[:64], self._leaf_key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative_name(host)]), critical=False)
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(authority_key, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _builder(subject: str, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(AUTHORITY_NAME))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    # Python 3.13 verifies with VERIFY_X509_STRICT, which rejects a root without keyCertSign.
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
