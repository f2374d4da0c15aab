"""TLS settings: verified unless that is dangerously switched off; bad files are named."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from servers.certificates import make_certificates

from streamproc.errors import ConfigError
from streamproc.http.contract import Tls
from streamproc.http.tls import context


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    (folder / "empty").touch()
    (folder / "binary").write_bytes(bytes(range(256)))
    encrypt = ["openssl", "pkcs8", "-topk8", "-in", "good.key", "-out", "encrypted.key"]
    subprocess.run(
        [*encrypt, "-passout", "pass:secret"], cwd=folder, check=True, capture_output=True
    )
    return folder


def test_certificates_and_names_are_verified() -> None:
    made = context(Tls())
    assert (made.check_hostname, made.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert made.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_verification_can_dangerously_be_switched_off() -> None:
    made = context(Tls(dangerously_accept_any_certificate=True))
    assert (made.check_hostname, made.verify_mode) == (False, ssl.CERT_NONE)


def test_an_authority_is_trusted_instead_of_the_systems(folder: Path) -> None:
    made = context(Tls(ca=f"{folder}/ca.pem"))
    assert [each["subject"] for each in made.get_ca_certs()] == [
        ((("commonName", "streamproc ca"),),)
    ]


def test_an_own_certificate_with_its_key_is_loaded(folder: Path) -> None:
    both = folder / "both.pem"
    both.write_bytes((folder / "good.pem").read_bytes() + (folder / "good.key").read_bytes())
    context(Tls(cert=f"{folder}/good.pem", key=f"{folder}/good.key"))
    context(Tls(cert=str(both)))


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"ca": "missing"}, "tls.ca: F/missing: No such file"),
        ({"ca": ""}, "tls.ca: F/: Is a directory"),
        ({"ca": "empty"}, "tls.ca: F/empty: no certificate in PEM form"),
        ({"ca": "binary"}, "tls.ca: F/binary: no certificate in PEM form"),
        ({"ca": "good.key"}, "tls.ca: F/good.key: no certificate in PEM form"),
        ({"cert": "missing"}, "tls.cert: F/missing: No such file"),
        ({"cert": "good.pem", "key": "missing"}, "tls.key: F/missing: No such file"),
        ({"cert": "good.pem"}, "tls.cert: F/good.pem: no certificate with its key"),
        ({"cert": "empty", "key": "good.key"}, "tls.cert: F/empty and F/good.key: no certificate"),
        ({"cert": "good.pem", "key": "ca.key"}, "tls.cert: F/good.pem and F/ca.key: no cert"),
        ({"cert": "good.pem", "key": "encrypted.key"}, "tls.key: F/encrypted.key: the key is enc"),
        ({"key": "good.key"}, "tls.key: a key needs its certificate"),
    ],
)
def test_files_that_are_no_good_are_named(folder: Path, files: dict[str, str], named: str) -> None:
    """And nobody is asked for a password."""
    tls = Tls(**{name: f"{folder}/{file}" for name, file in files.items()})
    with pytest.raises(ConfigError) as caught:
        context(tls)
    assert str(caught.value).replace(str(folder), "F").startswith(named)
