"""The report of a run: one file of HTML, which says afterwards what the page said while it ran."""

from __future__ import annotations

import os

from streamproc.codec import encode
from streamproc.errors import CreateError, OutputError
from streamproc.nearest import not_created
from streamproc.secrets import redact_all
from streamproc.telemetry.page import page
from streamproc.types import JsonObject

_PERMISSIONS = 0o600  # it has data of records


class Report:
    """At `path`, where something of an earlier run may be until `write`."""

    def __init__(self, path: str) -> None:
        """Raises `CreateError` if it could not be written."""
        self._path = path
        is_new = not os.path.lexists(path)
        try:
            # a named pipe that nobody reads is refused, and not waited for
            os.close(self._open(os.O_NONBLOCK))
            if is_new:
                os.unlink(path)
        except OSError as error:
            said = not_created(error, path)
            raise CreateError(f"report: cannot create {path}: {said}") from error

    def write(self, data: JsonObject) -> None:
        """All of it. Raises `OutputError`."""
        # in a script only < could end it
        told = encode(redact_all(data)).decode().replace("<", "\\u003c")
        html = page("report.html", "report.js").html.replace("{{data}}", told)
        try:
            with open(self._open(os.O_TRUNC), "w", encoding="utf-8") as file:
                file.write(html)
        except OSError as error:
            raise OutputError(self._path, error.strerror or str(error)) from error

    def _open(self, flags: int) -> int:
        flags |= os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._path, flags, _PERMISSIONS)
