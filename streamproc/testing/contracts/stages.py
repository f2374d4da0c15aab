"""What every kind of stage and every policy keeps. Time is simulated: no test waits."""

from __future__ import annotations

import asyncio
import pickle
import random
from collections.abc import Sequence

from streamproc.assembly.given import StageLike
from streamproc.assembly.pipeline import Pipeline
from streamproc.errors import CallError, StreamprocError
from streamproc.interfaces import Policy
from streamproc.pipeline.shutdown import Shutdown
from streamproc.telemetry.summary import Summary
from streamproc.testing import MemorySink, MemorySource
from streamproc.trials.clock import simulate
from streamproc.types import Record, Table

PLACES = 8
ALONE = 20  # records that go alone
DRAIN_S = 5.0
SIGNALS = ((0.0,), (0.0, 0.0), (0.03,), (0.03, 0.04), (0.5, 2.0))  # s after which one comes


class _Stages:
    """A stage, by its table in the pipeline file."""

    def table(self) -> Table:
        """The keys that are tested: `{"reverse": "name"}`, `{"quota": 1000}`."""
        raise NotImplementedError

    def records(self) -> Sequence[Record]:
        """What comes in."""
        return [{"n": n} for n in range(100)]

    def stage(self) -> StageLike:
        """What a pipeline is made of."""
        return {"name": "tested"} | self.table()

    def run(
        self,
        records: Sequence[Record] | None = None,
        *signals: float,
        **settings: object,
    ) -> tuple[MemorySink, Summary]:
        """All records, or these, through a pipeline of their own, and its account."""
        source = MemorySource(self.records() if records is None else records)

        async def main() -> tuple[MemorySink, Summary]:
            settings.setdefault("concurrency", PLACES)
            pipeline = Pipeline([self.stage()], drain_timeout=DRAIN_S, **settings)
            self.places = pipeline.settings.concurrency
            shutdown, sink = Shutdown(DRAIN_S), MemorySink()
            for after_s in signals:
                asyncio.get_running_loop().call_later(after_s, shutdown.request, 2)
            try:
                account = await pipeline.run(source, sink, shutdown=shutdown)
            except StreamprocError as error:
                account = error.summary  # type: ignore[attr-defined]  # of a run that ended early
            assert asyncio.all_tasks() == {asyncio.current_task()}, "it leaves a task behind"
            return sink, account

        random.seed(0)  # the same delays each time
        return simulate(main())

    def check(self, account: Summary) -> None:
        """Every record that was read has one end."""
        assert account.received == (
            account.ok + account.failed + account.dead_lettered + account.dropped
            + account.filtered + account.skipped + account.unprocessed
        )  # fmt: skip

    def test_each_record_has_one_end(self) -> None:
        """Ordered or not, whatever becomes of it."""
        for ordered in (True, False):
            _, account = self.run(ordered=ordered)
            assert account.received == len(self.records())
            assert account.unprocessed == 0
            self.check(account)

    def test_a_run_does_not_know_of_the_one_before(self) -> None:
        """The same pipeline again makes the same: nothing is kept where two could share it."""
        assert self.run()[0].data == self.run()[0].data

    def test_signals_lose_nothing(self) -> None:
        """At any moment: what was read is written, or accounted for as unprocessed."""
        for signals in SIGNALS:
            self.check(self.run(None, *signals)[1])

    def test_a_worker_can_have_it(self) -> None:
        """Settings go to worker processes, and mean the same there."""
        (made,) = Pipeline([self.stage()]).settings.stage
        assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301  # of our own


class StageContract(_Stages):
    """Of a kind of stage, or of a function: `table` says which one."""

    def test_what_becomes_of_a_record_is_its_own(self) -> None:
        """All together make what each one makes alone, in the order of the input."""
        records = self.records()
        together, _ = self.run(records)
        alone = [self.run([record])[0].data for record in records[:ALONE]]
        rest, _ = self.run(records[ALONE:])
        assert together.data == b"".join(alone) + rest.data


class PolicyContract(_Stages):
    """Of a policy, by its table beside those of others: around a function that is not ours.

    What that `answer`s can be overridden. It takes 10 ms, and fails for every seventh record with
    an error that may be tried again, for every eleventh with one that may not.
    """

    def stage(self) -> Table:
        """See `StageContract`."""
        self.at_once = self.most = 0
        return {"name": "tested", "python": self._called} | self.table()

    async def answer(self, record: Record) -> Record:
        """What the function returns."""
        await asyncio.sleep(0.01)
        if record["n"] % 7 == 0:
            raise CallError("connect", "not there", again=True, is_outage=True)
        if record["n"] % 11 == 0:
            raise CallError("http_status", "400", status=400)
        return {"answer": record["n"]}

    async def _called(self, record: Record) -> Record:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            return await self.answer(record)
        finally:
            self.at_once -= 1

    def test_an_answer_comes_through_as_it_is(self) -> None:
        """If one comes: a policy may do without, or answer itself, but not mix up records."""
        for line in self.run()[0].records:
            made = line.get("tested")
            if isinstance(made, dict) and "answer" in made:
                assert made["answer"] == line["n"]

    def test_it_takes_no_places_and_keeps_none(self) -> None:
        """No more calls at once than there are places; one place is enough for all records."""
        for places in (1, PLACES):  # a limit of the stage's own may ask for more
            _, account = self.run(concurrency=places)
            assert self.most <= self.places
            assert self.at_once == 0
            assert account.received == len(self.records())

    def test_a_call_that_is_cancelled_ends(self) -> None:
        """A hung one, by two signals: neither the run nor a task stays."""

        async def hang(record: Record) -> Record:
            await asyncio.sleep(1e6)
            return record

        self.answer = hang  # type: ignore[method-assign]  # of this object only
        _, account = self.run(None, 0.5, 0.6, timeout="1h")
        assert self.at_once == 0
        self.check(account)

    def test_workers_get_parts_or_are_told_why_not(self) -> None:
        """As they come, from the settings; `value` is what made it."""
        (made,) = Pipeline([self.stage()]).settings.stage
        for key in self.table().keys() & set(made.__struct_fields__):
            kind = type(getattr(made, key))
            if not (isinstance(kind, type) and issubclass(kind, Policy)):
                continue
            policy = getattr(made, key)
            assert kind.of(policy.value) == policy
            for count in (1, 2, 8):
                if (why := policy.unshareable(count)) is not None:
                    assert why
                    continue
                for place in range(count):
                    assert type(policy.part_for(place, count)) is kind
                assert count > 1 or policy.part_for(0, 1) == policy
