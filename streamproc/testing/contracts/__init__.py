"""What every source, sink, engine, kind of stage and policy keeps, as tests for ours and others.

Subclass one as `Test...` and say what is tested; pytest runs what it inherits.

>>> class TestRows(ResumableSinkContract):
...     def recipe(self):
...         return SqliteSink(path=str(self.folder / "out.db"), table="t")
"""

from streamproc.testing.contracts.engines import EngineContract
from streamproc.testing.contracts.sinks import ResumableSinkContract, SinkContract
from streamproc.testing.contracts.sources import ResumableSourceContract, SourceContract
from streamproc.testing.contracts.stages import PolicyContract, StageContract

__all__ = [
    "EngineContract",
    "PolicyContract",
    "ResumableSinkContract",
    "ResumableSourceContract",
    "SinkContract",
    "SourceContract",
    "StageContract",
]
