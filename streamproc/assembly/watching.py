"""Whether anybody sees the metrics of a run."""

from __future__ import annotations

import os

from streamproc.config.settings import Settings


def is_watched(settings: Settings) -> bool:
    """Whether they are counted at all."""
    shows = settings.monitor is not None or settings.report is not None
    return shows or pushes_metrics(settings)


def pushes_metrics(settings: Settings) -> bool:
    """Whether they are sent, and not only asked for."""
    is_meant = os.environ.get("OTEL_METRICS_EXPORTER", "").strip() == "otlp"
    return bool(settings.trace) and is_meant and not is_disabled()


def is_disabled() -> bool:
    """Whether nothing of OpenTelemetry is wanted here."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
