"""The TLS settings of a stage, as both clients use them."""

from __future__ import annotations

import ssl
from pathlib import Path

from streamproc.errors import ConfigError
from streamproc.http.contract import Tls


def context(tls: Tls) -> ssl.SSLContext:
    """Verified TLS, HTTP/1.1. Raises `ConfigError` naming the file that is no good."""
    if tls.key is not None and tls.cert is None:
        raise ConfigError("tls.key: a key needs its certificate: set tls.cert, too")
    if tls.ca is not None:
        _check_readable("ca", tls.ca)
    try:
        made = ssl.create_default_context(cafile=tls.ca)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"tls.ca: {tls.ca}: no certificate in PEM form; expected one, or more"
        ) from error
    if tls.cert is not None:
        _load_own(made, tls.cert, tls.key)
    if tls.dangerously_accept_any_certificate:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(["http/1.1"])
    return made


def _load_own(made: ssl.SSLContext, cert: str, key: str | None) -> None:
    _check_readable("cert", cert)
    if key is not None:
        _check_readable("key", key)
    name, path = ("cert", cert) if key is None else ("key", key)
    try:
        made.load_cert_chain(cert, key, _no_password)
    except _EncryptedError as error:
        raise ConfigError(f"tls.{name}: {path}: the key is encrypted; decrypt it first") from error
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        files = cert if key is None else f"{cert} and {key}"
        raise ConfigError(f"tls.cert: {files}: no certificate with its key: {reason}") from error


def _check_readable(name: str, path: str) -> None:
    """OpenSSL does not say which of its files it cannot read."""
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ConfigError(f"tls.{name}: {path}: {error.strerror}") from error


class _EncryptedError(Exception):
    """A key that wants a password."""


def _no_password() -> str:
    raise _EncryptedError  # without this OpenSSL would ask the terminal
