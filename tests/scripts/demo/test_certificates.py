"""The stand-in's certificate authority."""

from __future__ import annotations

import ssl

import pytest

from scripts.demo.backend import Backend
from scripts.demo.client import CodexClient
from tests.support.harness import wait_until


def test_no_sni(client: CodexClient, backend: Backend) -> None:
    """A TLS hello without a name gets the certificate of the host in the CONNECT."""
    assert client.get("https://127.0.0.1/", sni="").status == 200
    assert backend.requests[0].sni is None


def test_a_client_without_the_root_certificate_refuses(backend: Backend) -> None:
    """A client without the authority's certificate refuses the connection, and the stand-in reports the failure."""
    with Backend() as other:
        client = CodexClient(backend.proxy_url, [other.ca_file])
        with pytest.raises(ssl.SSLCertVerificationError):
            client.get("https://chatgpt.com/")
    wait_until(lambda: len(backend.tunnels) == 1, lambda: "the tunnel never ended")
    (tunnel,) = backend.tunnels
    assert tunnel.target == "chatgpt.com:443"
    assert tunnel.failure is not None
