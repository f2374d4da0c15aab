"""Settings → a pipeline that runs: the only place that knows concrete classes."""

from streamproc.assembly.ends import Ends
from streamproc.assembly.pipeline import Pipeline

__all__ = ["Ends", "Pipeline"]
