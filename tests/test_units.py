"""Durations, sizes and addresses as people write them."""

from typing import Any

import pytest

from streamproc.units import Address, ByteSize, Seconds, decode_hook, schema_hook


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("250ms", 0.25), ("5s", 5), ("2m", 120), ("1h", 3600), ("1.5s", 1.5), ("0.5h", 1800),
        ("30", 30), ("5 s", 5), (" 5s ", 5), (30, 30), (0.25, 0.25), (0, 0), ("0", 0),
    ],
)  # fmt: skip
def test_durations(written: Any, seconds: float) -> None:
    """A duration is seconds, or a number with ms, s, m or h."""
    assert Seconds.parse(written) == pytest.approx(seconds)
    assert type(Seconds.parse(written)) is Seconds


@pytest.mark.parametrize(
    "written",
    ["", "s", "-5s", "5d", "5 seconds", "1h30m", "5s5", "five", -1, -0.5, float("nan"), True, None,
     [5], {"s": 5}],
)  # fmt: skip
def test_what_is_no_duration(written: Any) -> None:
    """Anything else is refused with examples of what is one."""
    with pytest.raises(ValueError, match='expected a duration such as 30, "250ms"'):
        Seconds.parse(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("16MiB", 16 << 20), ("64KiB", 65_536), ("1GB", 10**9), ("1kB", 1000), ("1k", 1000),
        ("2Mi", 2 << 20), ("1.5KiB", 1536), ("10", 10), ("10B", 10), ("1TiB", 1 << 40),
        ("16mib", 16 << 20), (65_536, 65_536), (1, 1), (" 1 KiB ", 1024),
    ],
)  # fmt: skip
def test_sizes(written: Any, size: int) -> None:
    """A size is bytes, or a number with a decimal or a binary unit."""
    assert ByteSize.parse(written) == size
    assert type(ByteSize.parse(written)) is ByteSize


@pytest.mark.parametrize(
    "written", ["", "0", "-1", "KiB", "1XB", "1 2", "0.1", 0, -5, 1.5, True, None, ["1k"]]
)
def test_what_is_no_size(written: Any) -> None:
    """Nothing is smaller than a byte, and only numbers and units are sizes."""
    with pytest.raises(ValueError, match='expected a size such as 65536, "64KiB"'):
        ByteSize.parse(written)


def test_hooks_know_no_other_types() -> None:
    """A type that nobody taught them is a mistake of ours, not a setting."""
    for hook in (lambda: decode_hook(complex, 1), lambda: schema_hook(complex)):
        with pytest.raises(NotImplementedError):
            hook()


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("127.0.0.1:9464", "127.0.0.1", 9464), ("9464", "127.0.0.1", 9464), (0, "127.0.0.1", 0),
        ("[::1]:9464", "::1", 9464), ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
        ("localhost:65535", "localhost", 65_535), (" a-b.example:1 ", "a-b.example", 1),
    ],
)  # fmt: skip
def test_addresses(written: Any, host: str, port: int) -> None:
    """Where nothing is said it is this machine only."""
    address = Address.parse(written)
    assert (address.host, address.port) == (host, port)
    assert Address.parse(address) == address


@pytest.mark.parametrize(
    "written",
    ["", ":9464", "::1:9464", "127.0.0.1", "127.0.0.1:", "a:65536", "a:-1", "http://a:1", "u@a:1",
     "a b:1", "a:1/x", -1, 1.5, True, None, ["1"]],
)  # fmt: skip
def test_what_is_no_address(written: Any) -> None:
    """All addresses of the machine are asked for by name, not by leaving something out."""
    with pytest.raises(ValueError, match="expected HOST:PORT such as"):
        Address.parse(written)
