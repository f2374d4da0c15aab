"""Where a run goes on: all ends are asked before any is changed, and others' lines stay."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import Struct, structs

from streamproc.checkpoint.entry import CheckpointFile, Entry
from streamproc.checkpoint.resume import Resumption
from streamproc.errors import ResumeError
from streamproc.interfaces import Misfit
from streamproc.record import Progress
from streamproc.testing import MemorySink


class At(Struct, frozen=True):
    """A position."""

    at: int


class End(MemorySink):
    """An end that says at which positions it fits, and what was added to it after one."""

    position_type = At

    def __init__(
        self, name: str, *, fits: tuple[int, ...], has_earlier: bool = True, added: int = 0
    ) -> None:
        super().__init__()
        self.name, self._fits, self._has_earlier, self._added = name, fits, has_earlier, added
        self.rewound: list[Any] = []

    async def fits(self, position: At, later: At | None = None) -> Misfit | None:
        if position.at in self._fits:
            return None
        return Misfit(f"{self.name} was cut", has_earlier=self._has_earlier)

    async def added(self, position: At | None) -> int:
        return self._added

    async def rewind(self, position: At | None) -> None:
        self.rewound.append(position)


def entry_at(lines: int, *, closed: bool = False, letters: bool = False) -> Entry:
    return Entry(
        time="now", pipeline="p", finished=False, closed=closed, progress=Progress(lines),
        input={"at": lines}, output={"at": lines}, dead_letters={"at": lines} if letters else None,
    )  # fmt: skip


class World:
    """A checkpoint with entries at lines 10, 20 and 30, and the ends of the run that goes on."""

    def __init__(
        self, source: End, sink: Any, dead_letters: End | None = None, **newest: bool
    ) -> None:
        self.file = CheckpointFile("state")
        self.file.entries = [entry_at(10), entry_at(20), entry_at(30, **newest)]
        self.ends = [each for each in (source, sink, dead_letters) if isinstance(each, End)]
        any_source: Any = source
        self.resumption = Resumption(self.file, any_source, sink, dead_letters)

    def choose(self) -> Entry:
        try:
            return asyncio.run(self.resumption.choose())
        finally:
            assert [end.rewound for end in self.ends] == [[] for _ in self.ends]

    def go_on(self) -> int:
        entry = self.choose()
        asyncio.run(self.resumption.rewind(entry))
        return entry.progress.lines


ALL = (10, 20, 30)


def test_the_newest_entry_that_fits_is_gone_on_at() -> None:
    source, sink = End("in", fits=ALL), End("out", fits=ALL)
    world = World(source, sink)
    assert world.go_on() == 30
    assert (source.rewound, sink.rewound) == ([At(30)], [At(30)])


@pytest.mark.parametrize(("of_source", "of_sink", "lines"), [
    (ALL, (10, 20), 20), ((10, 20), ALL, 20), (ALL, (10,), 10), ((10, 20), (10,), 10),
])  # fmt: skip
def test_what_a_machine_has_lost_is_done_again(
    of_source: tuple[int, ...], of_sink: tuple[int, ...], lines: int
) -> None:
    """All ends go back to the same entry, and those after it are forgotten."""
    world = World(End("in", fits=of_source), End("out", fits=of_sink))
    assert world.go_on() == lines
    assert {end.rewound[0].at for end in world.ends} == {lines}
    assert [entry.progress.lines for entry in world.file.entries] == list(range(10, lines + 1, 10))


def test_an_end_that_lost_nothing_and_does_not_fit_was_edited() -> None:
    world = World(End("in", fits=(10,), has_earlier=False), End("out", fits=ALL))
    with pytest.raises(ResumeError, match="in was cut; nothing was changed"):
        world.go_on()


def test_a_damaged_position_says_nothing_of_what_others_have_added() -> None:
    """The output has lost its end, and where the dead letters stood cannot be read."""
    ends = End("in", fits=ALL), End("out", fits=(10, 20)), End("letters", fits=ALL)
    world = World(*ends, closed=True, letters=True)
    world.file.entries[-1] = structs.replace(world.file.entries[-1], dead_letters={"at": "x"})
    with pytest.raises(ResumeError, match="out was cut; nothing was changed"):
        world.go_on()


def test_nothing_fits() -> None:
    world = World(End("in", fits=ALL), End("out", fits=()))
    with pytest.raises(ResumeError, match="out was cut"):
        world.go_on()


def test_an_output_that_cannot_go_on_is_refused() -> None:
    with pytest.raises(ResumeError, match="memory is no output that a run can go on with"):
        World(End("in", fits=ALL), MemorySink()).choose()


def test_dead_letters_that_were_written_have_to_be_there_again() -> None:
    source, sink = End("in", fits=ALL), End("out", fits=ALL)
    with pytest.raises(ResumeError, match="with --dead-letter, and none is given now"):
        World(source, sink, letters=True).choose()
    letters = End("dead", fits=ALL)
    assert World(source, sink, letters, letters=True).go_on() == 30
    assert letters.rewound == [At(30)]


def test_a_dead_letter_file_that_is_new_goes_on_behind_what_is_there() -> None:
    letters = End("dead", fits=())
    assert World(End("in", fits=ALL), End("out", fits=ALL), letters).go_on() == 30
    assert letters.rewound == [None]


def test_what_others_added_after_a_run_had_ended_stays() -> None:
    """And no later run goes back over it."""
    sink = End("out", fits=ALL, added=5)
    world = World(End("in", fits=ALL), sink, closed=True)
    assert world.go_on() == 30
    assert (sink.rewound, world.file.entries) == ([None], [])


def test_nobody_goes_back_over_what_others_have_added() -> None:
    world = World(End("in", fits=(10,)), End("out", fits=ALL, added=5), closed=True)
    with pytest.raises(ResumeError, match="in was cut"):
        world.go_on()


def test_what_a_killed_run_wrote_after_its_checkpoint_is_not_somebody_elses() -> None:
    sink = End("out", fits=ALL, added=5)
    assert World(End("in", fits=ALL), sink).go_on() == 30
    assert sink.rewound == [At(30)]


def test_a_position_of_another_kind_is_refused() -> None:
    world = World(End("in", fits=ALL), End("out", fits=ALL))
    world.file.entries[-1] = Entry(
        time="now", pipeline="p", finished=False, progress=Progress(30),
        input={"at": 30}, output={"at": "behind the third row"}, dead_letters=None,
    )  # fmt: skip
    with pytest.raises(ResumeError, match="out is of another kind than at the checkpoint"):
        world.choose()


def test_without_a_checkpoint_data_that_is_there_is_nobodys() -> None:
    world = World(End("in", fits=ALL), End("out", fits=ALL, added=5))
    with pytest.raises(ResumeError, match="there is no checkpoint state, but out has data"):
        asyncio.run(world.resumption.refuse_data())


def test_another_pipeline_does_not_go_on_with_this_one() -> None:
    world = World(End("in", fits=ALL), End("out", fits=ALL))
    world.resumption.refuse_pipeline("p")
    with pytest.raises(ResumeError, match="another pipeline"):
        world.resumption.refuse_pipeline("q")
