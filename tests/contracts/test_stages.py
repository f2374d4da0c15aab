"""Kinds of stages and policies of the house, and of the plugin, keep the same contract."""

from typing import Any

import pytest

from streamproc.testing.contracts import PolicyContract, StageContract
from tests.plugin.test_quota import TestQuota
from tests.plugin.test_reverse import TestReverse

__all__ = ["TestQuota", "TestReverse"]


def double(record: dict[str, Any]) -> dict[str, Any]:
    return {"double": record["n"] * 2}


async def later(record: dict[str, Any]) -> dict[str, Any]:
    return {"double": record["n"] * 2}


POLICIES: list[dict[str, Any]] = [
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
]  # fmt: skip
KINDS: list[dict[str, Any]] = [
    {"builtin": "none"}, {"builtin": "leads"}, {"select": "{n: n}"}, {"filter": "n > `3`"},
    {"python": double}, {"python": later},
    {"all": [{"name": name, "python": f"{__name__}:{name}"} for name in ("double", "later")]},
]  # fmt: skip


class OneOf:
    """Each test for each of some tables."""

    @pytest.fixture(autouse=True)
    def _choose(self, table_of: dict[str, Any]) -> None:
        self._table = table_of

    def table(self) -> dict[str, Any]:
        return dict(self._table)


@pytest.mark.parametrize("table_of", POLICIES, ids="+".join)
class TestPolicies(OneOf, PolicyContract):
    pass


@pytest.mark.parametrize(
    "table_of", KINDS, ids=lambda table: "".join(map(str, next(iter(table.items()))))[:20]
)
class TestKinds(OneOf, StageContract):
    pass
