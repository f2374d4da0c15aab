"""The engines keep the same contract: this process, others, and one after the other."""

from streamproc import Pipeline
from streamproc.engines.growing import GrowingEngine
from streamproc.interfaces import Engine
from streamproc.testing.contracts import EngineContract


class TestLocal(EngineContract):
    def engine(self, pipeline: Pipeline) -> Engine:
        return pipeline.local_engine()


class TestProcesses(EngineContract):
    def engine(self, pipeline: Pipeline) -> Engine:
        return pipeline._process_engine(2)


class TestGrowing(EngineContract):
    def engine(self, pipeline: Pipeline) -> Engine:
        local = pipeline.local_engine()
        return GrowingEngine(local, lambda: pipeline._process_engine(2), lambda: None)
