"""What every policy keeps, and what this one limits."""

from typing import Any

from streamproc.testing.contracts import PolicyContract


class TestQuota(PolicyContract):
    def table(self) -> dict[str, Any]:
        return {"quota": 50, "retry": {"attempts": 3}}

    def test_calls_that_are_not_there_fail(self) -> None:
        sink, _ = self.run()
        failures = [line["_error"]["kind"] for line in sink.records if "_error" in line]
        assert failures.count("quota") > 50
