"""Records that somebody follows: what is told of them, and that nothing else changes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamproc import Pipeline
from streamproc.interfaces import FOLLOWED, Observer, ObserverKind
from streamproc.record import Batch, Note

GIVEN = [{"n": n} for n in range(200)]


def plain(record: dict[str, Any]) -> dict[str, Any]:
    return {"half": 1 / record["n"]}


async def awaited(record: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"half": 1 / record["n"]}


class Notes:
    """Follows one record."""

    headers = b""

    def __init__(self, diary: Diary, line: int) -> None:
        self._diary = diary
        self.line = line
        self.heard: list[str] = []

    def begin(self) -> None:
        assert FOLLOWED.get() is not None
        self._diary.open.append(self)

    def tell(self, event: Any) -> None:
        if self._diary.is_clumsy:
            raise RuntimeError("clumsy")
        self.heard.append(type(event).__name__)

    def end(self, note: Note | None) -> None:
        assert FOLLOWED.get() is None
        self._diary.open.remove(self)
        self._diary.done[self.line] = self.heard, "ok" if note is None else note.status


class Diary(Observer):
    """Follows every third line, as far as it begins."""

    wanted = frozenset()

    def __init__(self, *, is_clumsy: bool = False) -> None:
        self.is_clumsy = is_clumsy
        self.open: list[Notes] = []
        self.done: dict[int, tuple[list[str], str]] = {}
        self.asked = 0

    def follow(self, batch: Batch, i: int) -> Notes | None:
        self.asked += 1
        line = batch.cursor.line + i
        return None if line % 3 != 1 else Notes(self, line)


class Kind(ObserverKind, frozen=True, kw_only=True):
    diary: Any

    def opened(self) -> Observer:
        return self.diary  # type: ignore[no-any-return] - the test's own


def followed(diaries: dict[str, Diary], *stages: Any, **settings: Any) -> list[dict[str, Any]]:
    pipeline = Pipeline(stages, **settings)
    for name, diary in diaries.items():
        pipeline.listeners.observers.add(name, Kind(diary=diary))
    return list(pipeline.map(GIVEN))


@pytest.mark.parametrize(
    ("stages", "settings", "told"),
    [
        ([plain], {}, ["CallsEnded"]),
        ([plain], {"max_errors": 5}, ["CallsEnded"]),
        ([plain, {"filter": "n < `150`"}], {}, ["CallsEnded", "CallsEnded"]),
        ([awaited], {}, ["CallStarted", "CallEnded"]),
        ([awaited, plain], {}, ["CallStarted", "CallEnded", "CallsEnded"]),
    ],
)
def test_each_is_told_of_and_nothing_else_changes(
    stages: list[Any], settings: dict[str, Any], told: list[str]
) -> None:
    """Of those in between nobody hears, and the output is what it is without followers."""
    diary = Diary()
    assert followed({"d": diary}, *stages, **settings) == followed({}, *stages, **settings)
    assert diary.open == []
    assert sorted(diary.done) == list(range(1, 201, 3))
    assert diary.done[4] == (told, "ok")
    assert diary.done[1][1] == "failed"
    assert "CallFailed" in diary.done[1][0]


def test_who_fails_follows_no_more_and_others_do(caplog: pytest.LogCaptureFixture) -> None:
    """The record knows nothing of it."""
    clumsy, diary = Diary(is_clumsy=True), Diary()
    out = followed({"clumsy": clumsy, "d": diary}, awaited)
    assert out == followed({}, awaited)
    assert len(diary.done) == 67
    assert len(clumsy.done) == 0
    assert 0 < clumsy.asked < diary.asked == 200
    assert caplog.text.count("observers.clumsy failed, and hears no more") == 1


@pytest.mark.parametrize("stage", [plain, awaited])
def test_who_chooses_is_asked_of_no_other_line(stage: Any) -> None:
    """Another one hears of all that it asks for."""

    class Choosy(Diary):
        def choose(self, batch: Batch) -> set[int]:
            return {i for i in range(len(batch)) if (batch.cursor.line + i) % 6 == 1}

    choosy, diary = Choosy(), Diary()
    assert followed({"c": choosy, "d": diary}, stage) == followed({}, stage)
    assert sorted(choosy.done) == list(range(1, 201, 6))
    assert sorted(diary.done) == list(range(1, 201, 3))
    alone = Choosy()
    followed({"c": alone}, stage)
    assert (sorted(alone.done), alone.asked) == (list(range(1, 201, 6)), 34)


def test_records_that_no_stage_looks_at_are_followed_as_well() -> None:
    diary = Diary()
    assert followed({"d": diary}, {"builtin": "none"}) == GIVEN
    assert diary.done == dict.fromkeys(range(1, 201, 3), ([], "ok"))
