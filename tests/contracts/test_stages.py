"""Kinds of stages and policies of the house, and of the plugin, keep the same contract."""

from typing import Any

import pytest

from streamproc.testing.contracts import PolicyContract, StageContract
from tests.plugin.test_quota import TestQuota
from tests.plugin.test_reverse import TestReverse

__all__ = ["TestQuota", "TestReverse"]


@pytest.fixture(
    params=[
        {"retry": {"attempts": 3}},
        {"breaker": {"consecutive": 3, "open": "2s"}},
        {"rate": {"limit": "50/s", "strict": True}},
        {"concurrency": {"min": 1, "max": 6, "start": 2}},
        {"cache": "1h"},
        {"deadline": "5ms"},
        {"fallback": [{"value": {"unknown": True}}]},
        {"batch": {"size": 4, "wait": "20ms"}},
        {
            "retry": {"attempts": 3}, "breaker": {"consecutive": 3}, "rate": "50/s",
            "concurrency": 4, "cache": "1h", "deadline": "3s", "fallback": [{"value": 1}],
        },
    ],
    ids="+".join,
)  # fmt: skip
def policies(request: pytest.FixtureRequest) -> Any:
    return request.param


class TestPolicies(PolicyContract):
    @pytest.fixture(autouse=True)
    def _use(self, policies: Any) -> None:
        self._table = policies

    def table(self) -> dict[str, Any]:
        return dict(self._table)


def double(record: dict[str, Any]) -> dict[str, Any]:
    return {"double": record["n"] * 2}


async def later(record: dict[str, Any]) -> dict[str, Any]:
    return {"double": record["n"] * 2}


@pytest.fixture(
    params=[
        {"builtin": "none"}, {"builtin": "leads"}, {"select": "{n: n}"}, {"filter": "n > `3`"},
        {"python": double}, {"python": later},
        {"all": [{"name": name, "python": f"{__name__}:{name}"} for name in ("double", "later")]},
    ],
    ids=lambda table: "".join(map(str, next(iter(table.items()))))[:20],
)  # fmt: skip
def kinds(request: pytest.FixtureRequest) -> Any:
    return request.param


class TestKinds(StageContract):
    @pytest.fixture(autouse=True)
    def _use(self, kinds: Any) -> None:
        self._table = kinds

    def table(self) -> dict[str, Any]:
        return dict(self._table)
