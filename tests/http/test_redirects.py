"""Where a redirect does not lead, in words for people. tests/contracts has where it leads."""

from __future__ import annotations

import pytest

from streamproc.errors import CallError
from streamproc.http.contract import Request, Response, Target
from streamproc.http.redirects import next_request

HERE = Request(Target("https", "a.example", 443), b"GET", b"/")


def test_of_a_long_place_the_beginning_is_shown_without_its_password() -> None:
    place = b"http://me:" + b"pass" * 300 + b"@[::/" + b"x" * 9000
    with pytest.raises(CallError) as raised:
        next_request(HERE, Response(302, [(b"location", place)], b""))
    assert "pass" not in raised.value.message
    assert "'http://***@[::/xxx" in raised.value.message
    assert "…'" in raised.value.message
    assert len(raised.value.message) < 300
