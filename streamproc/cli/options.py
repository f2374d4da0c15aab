"""Each flag of `run`, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from streamproc.nearest import nearest
from streamproc.types import Function, JsonValue
from streamproc.units import Address, ByteSize, PositiveSeconds, Rate, RunId, Sample, Seconds

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # generic since click 8.2 only

_PREFIX = "STREAMPROC_"

F = TypeVar("F", bound=Function)


class _Parsed(_ParamType):
    """A value type of the pipeline file, on the command line."""

    def __init__(self, name: str, parse: Callable[[JsonValue], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(f"{error}, got {value!r}", param, ctx)


class _Option(click.Option):
    """One that says which variable is wrong, if the value comes from there.

    Where it may be repeated, each line of the variable is one: values have spaces in them.
    """

    def value_from_envvar(self, ctx: click.Context) -> Any:  # as in click: any value
        """What the variable says."""
        if not self.multiple:
            return super().value_from_envvar(ctx)
        text = self.resolve_envvar_value(ctx)
        return text and [line for line in map(str.strip, text.split("\n")) if line]

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """What a message calls it."""
        source = None if ctx is None or self.name is None else ctx.get_parameter_source(self.name)
        is_of_environment = source is click.core.ParameterSource.ENVIRONMENT
        return str(self.envvar) if is_of_environment else super().get_error_hint(ctx)


def _option(*names: str, **attributes: Any) -> Callable[[F], F]:  # those of `click.option`
    """An option that can also be set in the environment: STREAMPROC_ and its long name."""
    long = next(name for name in names if name.startswith("--"))
    variable = _PREFIX + long.split("/")[0][2:].replace("-", "_").upper()
    return click.option(*names, cls=_Option, envvar=variable, **attributes)


def _workers(value: str) -> int | str:
    if value == "auto":
        return value
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise ValueError("expected a number from 1 on, or auto")
    return int(value)


def _file(value: str) -> str:
    if not value:
        raise ValueError("expected the name of a file")  # of a variable that is not set
    return value


def _file_beside(value: str) -> str:
    if value == "-":
        raise ValueError("expected the name of a file, for stdout has the records (./- is one)")
    return _file(value)


def _rate(value: str) -> str:
    Rate.parse(value)
    return value


def _method(value: str) -> str:
    from streamproc.enrichers.http_settings import Method

    known = get_args(Method)
    if value.upper() not in known:
        raise ValueError(f"expected {', '.join(known)}")
    return value.upper()


def _whole(at_least: int) -> click.IntRange:
    kind = click.IntRange(min=at_least)
    kind.name = "whole number"  # than which "integer range" is no better known
    return kind


_FILE, _FILE_BESIDE = _Parsed("file", _file), _Parsed("file", _file_beside)
_COUNT, _FROM_0 = _whole(1), _whole(0)
_SECONDS = _Parsed("seconds", Seconds.parse)
_POSITIVE_SECONDS = _Parsed("seconds", PositiveSeconds.parse)

_OPTIONS = [
    _option("-e", "--enrich", "enrich", multiple=True, metavar="[NAME=]SPEC",
            help="A stage: leads, none, module:function, file.py:function, select:EXPRESSION, "
                 "filter:EXPRESSION (JMESPath), or with a name an http(s) URL with {field}s. "
                 "Repeat it; the order is the order of work. [default: leads]"),
    _option("-H", "--header", multiple=True, metavar="'NAME: VALUE'",
            help="Of the one http stage; repeat it."),
    _option("-X", "--method", metavar="METHOD", type=_Parsed("method", _method),
            help="Of the one http stage. [default: GET, POST with --json]"),
    _option("--json", metavar="JSON",
            help="Body of the one http stage; '{\"q\": \"{field}\"}' is filled from the record."),
    _option("--auth", metavar="USER:PASSWORD",
            help="Of the one http stage; or bearer:TOKEN. In single quotes '${VAR}' is taken "
                 "from the environment, out of sight of other users."),
    _option("-c", "--config", metavar="FILE", type=_FILE,
            help="Pipeline file (TOML); flags win over it."),
    _option("--set", "sets", multiple=True, metavar="STAGE.KEY=VALUE",
            help="A setting of a stage; wins over all. Repeat it."),
    _option("-o", "--output", metavar="FILE", type=_FILE,
            help="Write here, not to stdout; or an address."),
    _option("--input-format", type=click.Choice(["jsonl", "json"]),
            help="json: arrays of records, and records over several lines. [default: jsonl]"),
    _option("-j", "--concurrency", type=_COUNT, metavar="N",
            help="Records that execute a call at once. [default: 64]"),
    _option("-w", "--workers", type=_Parsed("workers", _workers), metavar="N|auto",
            help="Processes that share the work; auto: one for each CPU. [default: 1, and more "
                 "for leads, select and filter alone while one CPU is not enough]"),
    _option("--max-restarts", type=_FROM_0, metavar="N",
            help="Workers that may die within a minute. [default: 20]"),
    _option("--ordered/--unordered", default=None,
            help="Output in input order, or as records finish. [default: ordered]"),
    _option("--timeout", type=_POSITIVE_SECONDS, metavar="SECONDS",
            help="One attempt at one stage. [default: 30]"),
    _option("--retries", type=_FROM_0, metavar="N",
            help="Further attempts after the first. [default: 4 for http stages, else none]"),
    _option("--rate", type=_Parsed("rate", _rate), metavar="RATE",
            help='Attempts started, as "100/s" or "600/min". [default: no limit]'),
    _option("--cache", type=_SECONDS, metavar="TTL",
            help='Keep answers for so long, as 60 or "1h". [default: off]'),
    _option("--on-error", type=click.Choice(["annotate", "dead-letter", "drop", "stop"]),
            help="What a failed record becomes. [default: annotate]"),
    _option("--incoming-errors", type=click.Choice(["pass", "process", "redo"]),
            help="A record that comes in with an _error passes untouched, is one like any "
                 "other, or has its failed sources asked again. [default: pass]"),
    _option("--dead-letter", metavar="FILE", type=_FILE_BESIDE,
            help="Failed records with their original lines; always appended to."),
    _option("--max-errors", type=_COUNT, metavar="N", help="Stop at the Nth failed record."),
    _option("--max-line-bytes", type=_Parsed("size", ByteSize.parse), metavar="SIZE",
            help="A longer line is a failed record. [default: 16MiB]"),
    _option("--max-memory", type=_Parsed("size", ByteSize.parse), metavar="SIZE",
            help="What records that are read and not written may take. [default: 192MiB]"),
    _option("--checkpoint", metavar="FILE", type=_FILE_BESIDE,
            help="Remember here how far the run came, every second and at its end."),
    _option("--resume", is_flag=True, default=None,
            help="Go on where --checkpoint says; from the start if it does not exist yet."),
    _option("--resume-force", is_flag=True, default=None,
            help="The same, also with other stages than before."),
    _option("--durable", is_flag=True, default=None,
            help="Sync the output before it is acknowledged or in a checkpoint."),
    _option("--ack-fd", type=_FROM_0, metavar="N",
            help="Write there how many lines are done, after each write."),
    _option("--stop-at-end", is_flag=True, default=None,
            help="Of a topic: read what is there now."),
    _option("--skip", type=_FROM_0, metavar="N",
            help="Pass over the first N records."),
    _option("--sample", type=_Parsed("sample", Sample.parse), metavar="N|SHARE",
            help="Of the rest every Nth, or at random such a share: 0.01, 1%."),
    _option("--sample-seed", type=_FROM_0, metavar="N",
            help="Others at random; the same number takes the same ones. [default: 0]"),
    _option("--limit", type=_COUNT, metavar="N", help="Read no more after N records of these."),
    _option("--allow-empty", is_flag=True, default=None,
            help="A field that a stage names and none of 20 or more records has is no error."),
    _option("--keep-going", is_flag=True, default=None,
            help="Also when a target answers 401 to the first ten records."),
    _option("--connect-timeout", type=_POSITIVE_SECONDS, metavar="SECONDS",
            help="Until a broker has to answer at the start. [default: 10]"),
    _option("--drain-timeout", type=_SECONDS, metavar="SECONDS",
            help="After the first signal. [default: 25]"),
    _option("--progress/--no-progress", default=None,
            help="[default: on when stderr is a terminal, and stdout another one or none]"),
    _option("--progress-format", type=click.Choice(["line", "full", "json"]),
            help="full: with a line for each stage; json: a line of JSON each second, also without "
                 "a terminal. [default: line]"),
    _option("--summary", type=click.Choice(["text", "json", "none"]),
            help="On stderr at the end. [default: text on a terminal, else none]"),
    _option("--run-id", metavar="ID", type=_Parsed("id", RunId.parse),
            help="What ids of records begin with, in logs, _error and events."),
    _option("--monitor", metavar="ADDR", type=_Parsed("address", Address.parse),
            help="While it runs, a page for browsers at http://ADDR, and /metrics, /health, "
                 "/ready, /stats and /events: HOST:PORT, or a PORT of this machine only; 0 picks "
                 "one. [default: off]"),
    _option("--monitor-token", metavar="TOKEN",
            help="What /metrics, /stats and /events want as Authorization: Bearer; out of sight "
                 "of other users in STREAMPROC_MONITOR_TOKEN."),
    _option("--trace", is_flag=True, default=None,
            help="Send what becomes of records as OpenTelemetry traces, 1% of them or as "
                 "OTEL_TRACES_SAMPLER says, to where OTEL_EXPORTER_OTLP_ENDPOINT says."),
    _option("--report", metavar="FILE", type=_FILE_BESIDE,
            help="At the end, write what the monitor's page showed into one HTML file."),
    _option("--loop", type=click.Choice(["uvloop", "asyncio"]), help="[default: uvloop]"),
    _option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]),
            help="[default: warning]"),
    _option("--log-format", type=click.Choice(["text", "json"]), help="[default: text]"),
    _option("--dry-run", is_flag=True, default=None,
            help="Print what would be called for the first records (10, or --limit), and call "
                 "and write nothing."),
    click.option("--demo", is_flag=True, help="INPUT is the bundled sample, a few leads."),
]  # fmt: skip


def run_options(function: F) -> F:
    """All options of `run`, in the order of the list above."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def unknown_variables(environment: Iterable[str], options: Iterable[click.Parameter]) -> list[str]:
    """What is said of variables that look like one of `options` and are none."""
    known = [str(option.envvar) for option in options]
    return [
        f"{name} is no option of streamproc{nearest(name, known)}"
        for name in environment
        if name.startswith(_PREFIX) and name not in known
    ]
