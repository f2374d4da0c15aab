"""When a service wants to be asked again, in all the ways in which they say so."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.http.contract import Response
from streamproc.http.retry_after import retry_after_s

NOW = 1_800_000_000.25
DAY_S = 86_400


def after(**headers: str) -> float | None:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return retry_after_s(Response(429, named, b""), NOW)


def date(epoch_s: float) -> str:
    return formatdate(epoch_s, usegmt=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", 0), ("120", 120), ("1.5", 1.5), (" 7 ", 7), ("007", 7), ("3600.000", 3600), (".5", 0.5)],
)
def test_seconds(value: str, expected: float) -> None:
    assert after(Retry_After=value) == expected


NONSENSE = ["", " ", "-1", "-1.5", "+5", "soon", "1e3", "1e400", "NaN", "inf", "0x10", "1,5",
            "1 2", "\xb2", "\u0661", "--1", "1.2.3", "9" * 400]  # fmt: skip


@pytest.mark.parametrize("value", NONSENSE)
@pytest.mark.parametrize(
    "name",
    ["Retry_After", "retry_after_ms", "X_RateLimit_Reset", "RateLimit", "x_ratelimit_reset_after",
     "x_ratelimit_reset_requests"],
)  # fmt: skip
def test_nonsense_is_unknown(name: str, value: str) -> None:
    assert after(**{name: value}) is None


def test_nothing_is_unknown() -> None:
    assert after() is None
    assert after(Content_Type="application/json", Date=date(NOW)) is None


def test_milliseconds_are_the_most_exact() -> None:
    assert after(retry_after_ms="1500") == 1.5
    assert after(Retry_After="2", retry_after_ms="1500.5") == 1.5005
    assert after(Retry_After="2", retry_after_ms="soon") == 2


def test_a_date_counts_from_the_date_of_the_answer() -> None:
    """So that nobody's clock has to be right."""
    wrong = NOW - 5000
    assert after(Retry_After=date(wrong + 30), Date=date(wrong)) == 30
    assert after(Retry_After=date(int(NOW) + 30)) == 29.75
    assert after(Retry_After=date(int(NOW) + 30), Date="nonsense") == 29.75


def test_a_date_that_has_passed_is_now() -> None:
    assert after(Retry_After=date(NOW - 30)) == 0
    assert after(Retry_After=date(0), Date=date(NOW)) == 0


@pytest.mark.parametrize(
    "value", ["Fri, 15 Jan 2027 08:00:30 GMT", "Friday, 15-Jan-27 08:00:30 GMT",
              "Fri Jan 15 08:00:30 2027"],
)  # fmt: skip
def test_all_forms_of_dates_are_read(value: str) -> None:
    """RFC 9110 has three, two of them obsolete."""
    assert after(Retry_After=value) == pytest.approx(29.75)


def test_retry_after_goes_before_resets() -> None:
    assert after(Retry_After="5", X_RateLimit_Reset="50") == 5
    assert after(Retry_After="soon", X_RateLimit_Reset="50") == 50


@pytest.mark.parametrize("name", ["X_RateLimit_Reset", "RateLimit_Reset", "X_Rate_Limit_Reset"])
def test_resets_are_points_in_time_or_delays(name: str) -> None:
    assert after(**{name: "30"}) == 30
    assert after(**{name: "0.5"}) == 0.5
    assert after(**{name: f"{NOW + 30:.2f}"}) == 30
    assert after(**{name: f"{(NOW + 30) * 1000:.0f}"}) == pytest.approx(30)
    assert after(**{name: f"{NOW - 30:.0f}"}) == 0
    assert after(**{name: "1m30s"}) == 90
    wrong = int(NOW) - 5000
    assert after(Date=date(wrong), **{name: str(wrong + 20)}) == 20


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"default";r=0;t=30', 30),
        ('"default"; r=0; t=30', 30),
        ('"burst";r=0;t=5, "daily";r=100;t=50000', 5),
        ('"burst";r=0;t=5, "daily";r=0;t=50', 50),
        ('"default";r=3;t=30', None),
        ('"default";t=30', 30),
        ('"default";r=0', None),
        ("limit=100, remaining=0, reset=30", 30),
        ("limit=100, remaining=5, reset=30", None),
        ("limit=100;w=60, remaining=0, reset=30", 30),
        ("garbage", None),
    ],
)
def test_the_drafts_of_the_ietf(value: str, expected: float | None) -> None:
    """A quota that has something left does not ask for a pause."""
    assert after(RateLimit=value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("6m0s", 360), ("1s", 1), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("1d", DAY_S), ("90m", 5400)],
)
def test_durations(value: str, expected: float) -> None:
    assert after(x_ratelimit_reset_requests=value) == pytest.approx(expected)
    assert after(x_ratelimit_reset_after=value) == pytest.approx(expected)


def test_reset_after_is_in_seconds() -> None:
    assert after(X_RateLimit_Reset_After="64.57") == 64.57


def test_of_several_quotas_the_one_that_is_used_up_counts() -> None:
    resets = {"x_ratelimit_reset_requests": "1s", "x_ratelimit_reset_tokens": "6m0s"}
    left = {"x_ratelimit_remaining_requests": "9", "x_ratelimit_remaining_tokens": "0"}
    assert after(**resets, **left) == 360
    left = {"x_ratelimit_remaining_requests": "0", "x_ratelimit_remaining_tokens": "9"}
    assert after(**resets, **left) == 1
    assert after(**resets) == 360


@pytest.mark.parametrize(
    ("remaining", "reset"),
    [
        ("X_RateLimit_Remaining", "X_RateLimit_Reset"),
        ("RateLimit_Remaining", "RateLimit_Reset"),
        ("X_Rate_Limit_Remaining", "X_Rate_Limit_Reset"),
        ("X_RateLimit_Remaining", "X_RateLimit_Reset_After"),
        ("x_ratelimit_remaining_requests", "x_ratelimit_reset_requests"),
        ("x_ratelimit_remaining_tokens", "x_ratelimit_reset_tokens"),
    ],
)
def test_a_quota_that_has_something_left_is_not_the_reason(remaining: str, reset: str) -> None:
    """Services send these headers with every answer, with a 503 of another cause too."""
    for left in ("1", "4987", "0.5"):
        assert after(**{remaining: left, reset: "30s"}) is None
        assert after(**{remaining: left, reset: "30s"}, Retry_After="7") == 7
    for left in ("0", "0.0", " 0 ", "nonsense", "-1"):
        assert after(**{remaining: left, reset: "30s"}) == 30
    assert after(**{reset: "30s"}) == 30


def test_one_familys_rest_says_nothing_of_another() -> None:
    assert after(X_RateLimit_Remaining="5", X_RateLimit_Reset="9", RateLimit_Reset="30") == 30


NAMES = [b"Date", b"Retry-After", b"retry-after-ms", b"x-ratelimit-reset", b"ratelimit",
         b"x-ratelimit-reset-after", b"x-ratelimit-reset-requests"]  # fmt: skip
VALUES = st.one_of(
    st.binary(max_size=40),
    st.from_regex(rb"[0-9.]{1,20}|([0-9]{1,4}(ms|s|m|h|d)){1,4}", fullmatch=True),
    st.from_regex(rb"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} -?[0-9]{1,6} [0-9:]{1,9} [A-Z+-]{3}"),
    st.sampled_from([b"Thu, 01 Jan 1970 00:00:00 GMT", b"Mon, 99 Foo 99999 99:99:99 GMT", b"1 1"]),
    st.from_regex(rb'"?[a-z]*"?([;,] ?(r|t|reset|remaining)=[0-9]{1,18}){0,4}', fullmatch=True),
)


@given(headers=st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=4))
def test_whatever_comes_it_is_a_delay_or_unknown(headers: list[tuple[bytes, bytes]]) -> None:
    delay = retry_after_s(Response(429, headers, b""), NOW)
    assert delay is None or 0 <= delay < float("inf")
