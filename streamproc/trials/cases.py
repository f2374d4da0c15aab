"""Test files: `[[test]]` tables beside a pipeline file → cases, or every mistake with its line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from streamproc.assembly import Pipeline
from streamproc.codec import decode_any, line_of
from streamproc.config.load import convert, read_file, resolve
from streamproc.config.recipes import kind_of, kinds_of
from streamproc.config.settings import Settings, StageSettings, all_sources
from streamproc.enrichers.http_stage import Http
from streamproc.errors import ConfigError, RecordError
from streamproc.nearest import nearest, nearest_file
from streamproc.policies.cache import Cache
from streamproc.trials.answers import Answer, Script
from streamproc.trials.lines import Lines
from streamproc.types import JsonValue, Table


class TestTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[test]]`.

    `pipeline` is a file, and so may be `input` and `expect`, as seen from the test file. In lists
    a record is a table, or its JSON as a text. `answers` has lists of answers by the names of
    stages. `env` is what `${VAR}` stands for. Of an `_error` only the members that `expect` names
    are compared.
    """

    name: str
    pipeline: str
    input: str | tuple[Any, ...]
    answers: dict[str, tuple[dict[str, Any], ...]] = {}
    env: dict[str, str] = {}
    expect: str | tuple[Any, ...] | None = None
    expect_calls: dict[str, int] = {}
    expect_exit_code: int | None = None


class Case(Struct, frozen=True):
    """A test that can run, once. `index` and `line` are where it stands in its `file`.

    `input` is a file, or lines. `pipeline` calls `script` for whom the test has answers.
    """

    file: str
    index: int
    line: int
    table: TestTable
    pipeline: Pipeline
    script: Script
    input: str | list[bytes]
    expected: list[Any] | None

    @property
    def place(self) -> str:
        """Where to look."""
        return f"{self.file}:{self.line}"

    def path_of(self, name: str) -> str:
        """A file that the test file names."""
        return os.path.join(os.path.dirname(self.file), name)


def cases_of(file: str) -> list[Case]:
    """The tests in `file`. Raises `ConfigError` with all that is wrong with them."""
    text = _read(file)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from error
    tables = document.pop("test", None)
    if not isinstance(tables, list) or not tables:
        said = "a pipeline file; its tests are in a file beside it" if "stage" in document else None
        raise ConfigError(f"{file}: no [[test]] in it{f': this is {said}' if said else ''}")
    lines = Lines(text)
    problems = [f"{file}:{lines.of_key(key)}: {key}: expected [[test]] tables and nothing else"
                for key in document]  # fmt: skip
    cases = []
    for i, table in enumerate(tables):
        reading = _Reading(file, i, lines, table)
        case = reading.case()
        problems += reading.problems
        cases += [case] if case is not None else []
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return cases


class _Reading:
    """One table, and what is wrong with it."""

    def __init__(self, file: str, index: int, lines: Lines, table: Table) -> None:
        self.problems: list[str] = []
        self._file = file
        self._index = index
        self._lines = lines
        self._given = table
        name = table.get("name") if isinstance(table, dict) else None
        self._title = f"test {name!r}" if isinstance(name, str) else f"test {index + 1}"

    def case(self) -> Case | None:
        """The case, None if something is wrong."""
        found: list[str] = []
        table = convert(TestTable, self._given, "", found)
        for problem in found:
            self._complain(re.split(r"[^\w-]", problem.lstrip(": "))[0], problem.lstrip(": "))
        if table is None:
            return None
        settings = self._settings(table)
        answers = {} if settings is None else self._answers(table, settings)
        given = self._input(table.input)
        expected = self._expected(table.expect)
        if settings is None or self.problems:
            return None
        script = Script(answers)
        try:
            pipeline = Pipeline.from_settings(_alone(settings), doubles=script)
        except ConfigError as error:
            self._refuse(table, error)
            return None
        line = self._lines.of_test(self._index)
        return Case(self._file, self._index, line, table, pipeline, script, given, expected)

    def _complain(self, key: str, what: str) -> None:
        line = self._lines.of_key(key, self._index)
        self.problems.append(f"{self._file}:{line}: {self._title}: {what}")

    def _beside(self, name: str) -> str:
        return os.path.join(os.path.dirname(self._file), name)

    def _settings(self, table: TestTable) -> Settings | None:
        try:
            pipeline = read_file(self._beside(table.pipeline))
            return resolve(pipeline, environment=os.environ | table.env)
        except ConfigError as error:
            self._refuse(table, error)
            return None

    def _refuse(self, table: TestTable, error: ConfigError) -> None:
        for problem in error.problems:
            is_variable = "the environment variable" in problem
            advice = ', or give it one: env = { NAME = "value" }' if is_variable else ""
            named = problem.removeprefix(f"{self._beside(table.pipeline)}: ")
            self._complain("pipeline", f"{table.pipeline}: {named}{advice}")

    def _answers(self, table: TestTable, settings: Settings) -> dict[str, list[Answer]]:
        stages = {each.name or "": each for each in all_sources(settings.stage)}
        answers: dict[str, list[Answer]] = {}
        for name, given in table.answers.items():
            if self._is_asked(name, "answers", stages, table):
                answers[name] = list(self._read_answers(name, given, stages[name]))
        for name in table.expect_calls:
            if not self._is_asked(name, "expect_calls", stages, table):
                continue
            if name not in table.answers and not _calls_http(stages[name]):
                said = "its own code is called, and not counted: give it answers"
                self._complain(name, f"expect_calls.{name}: {said}")
        return answers

    def _read_answers(
        self, name: str, given: Iterable[object], stage: StageSettings
    ) -> Iterator[Answer]:
        for k, each in enumerate(given):
            found: list[str] = []
            answer = convert(Answer, each, f"answers.{name}[{k}]", found)
            if answer is not None:
                wrong = answer.problems(is_http=_calls_http(stage))
                found += [f"answers.{name}[{k}]: {problem}" for problem in wrong]
                yield answer
            for problem in found:
                self._complain(name, problem)

    def _is_asked(
        self, name: str, key: str, stages: Mapping[str, StageSettings], table: TestTable
    ) -> bool:
        stage = stages.get(name)
        if stage is None:
            known = nearest(name, stages) or f"; there are {', '.join(stages)}"
            self._complain(name, f"{key}: no stage {name!r} in {table.pipeline}{known}")
        elif (kind := kind_of(stage)) is not None and not kind.takes_policies:
            self._complain(name, f"{key}: stage {name} calls nobody itself")
        else:
            return True
        return False

    def _input(self, given: str | Iterable[object]) -> str | list[bytes]:
        if not isinstance(given, str):
            return list(map(self._line, given))
        path = self._beside(given)
        if not os.path.isfile(path):
            self._complain("input", f"input: no such file: {path}{nearest_file(path)}")
        return path

    def _line(self, record: object) -> bytes:
        if not isinstance(record, str | dict):
            self._complain("input", f"input: expected a record, as a table or text, got {record!r}")
            return b""
        return line_of(record)

    def _expected(self, expect: str | Iterable[object] | None) -> list[JsonValue] | None:
        if expect is None:
            return None
        lines = list(expect)
        if isinstance(expect, str):
            path = Path(self._beside(expect))
            text = path.read_bytes() if path.is_file() else b""  # --update will make it
            lines = [line for line in text.split(b"\n") if line.strip()]
        try:
            return [decode_any(line_of(each)) for each in lines]
        except (RecordError, TypeError) as error:
            self._complain("expect", f"expect: not the JSON of a record: {error}")
            return None


def _calls_http(stage: StageSettings) -> bool:
    return any(isinstance(kind, Http) for kind in kinds_of(stage))


def _read(file: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}{nearest_file(file)}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from error


_KEPT = (
    "concurrency", "ordered", "timeout", "on_error", "incoming_errors", "dead_letter",
    "input_format", "max_errors", "max_memory", "max_line_bytes", "allow_empty", "keep_going",
    "drain_timeout",
)  # fmt: skip


def _alone(settings: Settings) -> Settings:
    """The settings without what reaches beyond the process: all records of a test are taken."""
    kept = {name: getattr(settings, name) for name in _KEPT}
    return Settings(stage=tuple(map(_uncached, settings.stage)), workers=1, **kept)


def _uncached(stage: StageSettings) -> StageSettings:
    """The stage with what it caches in memory."""
    if stage.all is not None:
        return structs.replace(stage, all=tuple(map(_uncached, stage.all)))
    if not isinstance(stage.cache, Cache):
        return stage
    return structs.replace(stage, cache=structs.replace(stage.cache, path=None))
