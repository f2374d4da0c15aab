"""Settings → a pipeline that runs: the only place that knows concrete classes."""

from streamproc.assembly.endpoints import Endpoints
from streamproc.assembly.pipeline import Pipeline

__all__ = ["Endpoints", "Pipeline"]
