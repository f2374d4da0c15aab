"""Certificates for TLS, good ones and bad ones, made with the `openssl` command."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

KINDS = ("good", "expired", "foreign", "wronghost")
HERE = "DNS:localhost,IP:127.0.0.1"
ELSEWHERE = "DNS:elsewhere.example"
NOW = datetime.now(UTC)
LONG_AGO, YESTERDAY, IN_A_YEAR = (NOW + timedelta(days=days) for days in (-90, -1, 365))

CONFIG = """
[ca]
default_ca = ca
new_certs_dir = {folder}
database = {folder}/{ca}.index
serial = {folder}/{ca}.serial
certificate = {folder}/{ca}.pem
private_key = {folder}/{ca}.key
default_md = sha256
unique_subject = no
policy = policy
[policy]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


def make_certificates(folder: Path) -> Path:
    """Write `ca.pem`, and for each kind `KIND.pem` and `KIND.key`; the answer is the CA's file."""
    for ca in ("ca", "foreign-ca"):
        make_authority(folder, ca)
    make_certificate(folder, "good")
    make_certificate(folder, "expired", start=LONG_AGO, end=YESTERDAY)
    make_certificate(folder, "foreign", ca="foreign-ca")
    make_certificate(folder, "wronghost", names=ELSEWHERE)
    return folder / "ca.pem"


def make_authority(folder: Path, name: str) -> None:
    (folder / f"{name}.index").touch()
    (folder / f"{name}.serial").write_text("01\n")
    request(folder, name, "-x509", "-days", "365", "-extensions", "authority")


def make_certificate(
    folder: Path,
    kind: str,
    ca: str = "ca",
    names: str = HERE,
    start: datetime = YESTERDAY,
    end: datetime = IN_A_YEAR,
) -> None:
    request(folder, kind)
    config = write_config(folder, kind, ca, names)
    openssl(
        "ca", "-batch", "-notext", "-config", config, "-extensions", "server",
        "-startdate", f"{start:%Y%m%d%H%M%SZ}", "-enddate", f"{end:%Y%m%d%H%M%SZ}",
        "-in", f"{folder}/{kind}.request", "-out", f"{folder}/{kind}.pem",
    )  # fmt: skip


def request(folder: Path, name: str, *options: str) -> None:
    """A new key and a request for a certificate, or with `-x509` the certificate itself."""
    suffix = "pem" if "-x509" in options else "request"
    openssl(
        "req", "-new", "-config", write_config(folder, name), "-subj", f"/CN=streamproc {name}",
        "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.{suffix}", *options,
    )  # fmt: skip


def write_config(folder: Path, name: str, ca: str = "ca", names: str = HERE) -> str:
    path = folder / f"{name}.cnf"
    path.write_text(CONFIG.format(folder=folder, ca=ca, names=names))
    return str(path)


def openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")
