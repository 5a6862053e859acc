"""TLS between gateways and relays, when Ray itself uses TLS: with Ray's certificates, and both sides verified.

See https://docs.ray.io/en/latest/ray-core/configure.html#tls-authentication. As in Ray, each host's certificate is
signed by the authority of the cluster, and valid for the address under which other hosts reach the host.
"""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Mapping

_USE = "RAY_USE_TLS"
_FILES = ("RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT")


class CertificateError(ConnectionError):
    """The certificates cannot be used; the message is the reason, for a person."""


def relay_context(environ: Mapping[str, str] = os.environ) -> ssl.SSLContext | None:
    """For the relay: only callers with a certificate of the cluster get in. None when Ray uses no TLS; OSError."""
    return _context(ssl.PROTOCOL_TLS_SERVER, _files(environ)) if _on(environ) else None


def gateway_context(environ: Mapping[str, str] = os.environ) -> ssl.SSLContext | None:
    """For those that call relays. None when Ray uses no TLS; OSError."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, _files(environ)) if _on(environ) else None


def _on(environ: Mapping[str, str]) -> bool:
    return environ.get(_USE, "").lower() in {"1", "true"}


def _files(environ: Mapping[str, str]) -> tuple[str, ...]:
    for name in _FILES:
        if not environ.get(name):
            raise CertificateError(f"{_USE} is set, and {name} is not")
    return tuple(environ[name] for name in _FILES)


@functools.lru_cache(8)
def _context(side: int, files: tuple[str, ...]) -> ssl.SSLContext:
    certificate, key, authority = files
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    if side == ssl.PROTOCOL_TLS_SERVER:
        # Tickets would come unasked, after the handshake, on connections that are watched for what comes unasked.
        context.num_tickets = 0
    return context
