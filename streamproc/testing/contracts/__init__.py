"""What every source and every sink keeps, as tests: for ours, and for those of plugins.

Subclass one as `Test...` and say what is tested; pytest runs what it inherits.

>>> class TestRows(ResumableSinkContract):
...     def recipe(self):
...         return SqliteSink(path=str(self.folder / "out.db"), table="t")
"""

from streamproc.testing.contracts.sinks import ResumableSinkContract, SinkContract
from streamproc.testing.contracts.sources import ResumableSourceContract, SourceContract

__all__ = [
    "ResumableSinkContract",
    "ResumableSourceContract",
    "SinkContract",
    "SourceContract",
]
