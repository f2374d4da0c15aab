"""What every kind of stage keeps, and what this one makes."""

from typing import Any

from streamproc.testing.contracts import StageContract


class TestReverse(StageContract):
    def table(self) -> dict[str, Any]:
        return {"reverse": "name"}

    def records(self) -> list[dict[str, Any]]:
        return [{"name": f"name {n}"} for n in range(100)]

    def test_it_reverses(self) -> None:
        sink, _ = self.run([{"name": "Anna Bell"}, {"name": 7}])
        made = {"name": "Anna Bell", "tested": {"reversed": "lleB annA"}}
        assert sink.records == [made, {"name": 7}]
