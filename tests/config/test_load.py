"""Pipeline file, environment, flags, `--set`: one set of settings, or every error at once."""

from pathlib import Path
from typing import Any

import pytest

from streamproc.config.load import read_file, resolve
from streamproc.config.settings import Settings
from streamproc.config.specs import stage_of
from streamproc.errors import ConfigError

NONE = {"builtin": "none"}
SECRET = "s3cr3t-0xC0FFEE"


def problems(table: dict[str, Any], *sets: str, **variables: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        resolve(table, {}, sets, variables)
    assert raised.value.exit_code == 78
    assert str(raised.value).splitlines() == list(raised.value.problems)
    return list(raised.value.problems)


def names(*stages: Any) -> list[str | None]:
    return [stage.name for stage in resolve({"stage": list(stages)}).stage]


def test_defaults() -> None:
    """Nothing said is the stage leads under `enrichment`, and the defaults of the options."""
    settings = resolve({}, environment={})
    [stage] = settings.stage
    assert (stage.name, stage.builtin, stage.into) == ("leads", "leads", "enrichment")
    assert (settings.concurrency, settings.ordered, settings.timeout) == (64, True, 30)
    assert (settings.on_error, settings.max_line_bytes) == ("annotate", 16 << 20)
    assert (settings.drain_timeout, settings.max_errors) == (25, None)
    assert settings.stage[0].timeout is None


def test_every_error_at_once() -> None:
    """All that is wrong is told together, each with its path."""
    found = problems(
        {
            "concurrency": 0,
            "timeout": "soon",
            "on_eror": "drop",
            "ordered": "yes",
            "max_line_bytes": -1,
            "on_error": "explode",
            "stage": [
                {"builtin": "none", "timeout": "5d", "wen": "a"},
                {"builtin": "none", "name": "1st", "into": 5},
                {"python": "a:b", "when": "${NOT_SET}"},
            ],
        }
    )
    duration = 'expected a duration such as 30, "250ms", "5s", "2m" or "1h"'
    wanted = {
        "concurrency": "expected int >= 1, got 0",
        "timeout": f"{duration}, got 'soon'",
        "on_eror": "unknown key, did you mean on_error?",
        "ordered": "expected bool, got 'yes'",
        "max_line_bytes": "expected a size such as 65536, \"64KiB\" or \"16MiB\", got -1",
        "on_error": "expected one of annotate, dead-letter, drop, stop, got 'explode'",
        "stage[0].timeout": f"{duration}, got '5d'",
        "stage[0].wen": "unknown key, did you mean when?",
        "stage[1].into": "expected str, got 5",
        "stage[2].when": "the environment variable NOT_SET is not set",
    }  # fmt: skip
    told = dict(problem.split(": ", 1) for problem in found)
    assert told.pop("stage[1].name").startswith("a name has letters, digits, _ and -, got '1st'")
    assert told == wanted


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"stage": 5}, "stage: expected list, got 5"),
        ({"stage": [5]}, "stage[0]: expected table, got 5"),
        ({"concurrency": True}, "concurrency: expected int, got True"),
        ({"concurrency": "4"}, "concurrency: expected int, got '4'"),
        ({"summary": True}, "summary: expected one of text, json, none, got True"),
        ({"xyz": 1}, "xyz: unknown key; known: ack_fd, allow_empty,"),
        ({"stage": []}, "stage: at least one is needed"),
        ({"stage": [{"name": "a"}]}, "stage[0]: expected exactly one of builtin, python"),
        ({"stage": [{**NONE, "python": "a:b"}]}, "stage[0]: expected exactly one of"),
        ({"stage": [{**NONE, "country": "DE"}]}, "stage[0].country: only the builtin leads"),
        ({"stage": [{"builtin": "leads", "country": "de"}]}, "stage[0].country: expected str"),
        ({"stage": [{**NONE, "name": "_error"}]}, "stage[0]: the key _error is reserved: "),
        ({"stage": [{**NONE, "into": "_error.x"}]}, "stage[0]: the key _error is reserved: "),
        ({"stage": [{**NONE, "into": "a..b"}]}, "stage[0].into: expected a path such as a.b"),
        ({"on_error": "dead-letter"}, "on_error: \"dead-letter\" needs a dead_letter file"),
        (
            {"stage": [{**NONE, "name": "a"}, {**NONE, "name": "a"}]},
            "stage[1].name: there is another stage 'a'",
        ),
    ],
)  # fmt: skip
def test_one_error(table: dict[str, Any], problem: str) -> None:
    """Each mistake has a message with its path."""
    [found] = problems(table)
    assert found.startswith(problem)


def test_default_names() -> None:
    """A stage without a name is called leads, none, or after its function; twins are counted."""
    score = {"python": "pkg.scoring:score"}
    assert names(score, score, {"python": "b.py:score"}) == ["score", "score-2", "score-3"]
    assert names({"builtin": "leads"}, NONE, NONE) == ["leads", "none", "none-2"]
    assert names({"python": "m:Score.call"}) == ["Score_call"]
    assert names({**score, "name": "score"}, score) == ["score", "score-2"]


def test_where_results_go() -> None:
    """Under the name that was given; without one leads has its key and functions merge."""
    stages = [{"builtin": "leads"}, {"python": "m:f"}, {"python": "m:f", "name": "g"}]
    assert [s.into for s in resolve({"stage": stages}).stage] == ["enrichment", ".", None]
    assert resolve({"stage": [{"python": "m:f", "into": "a.b"}]}).stage[0].into == "a.b"


def test_variables_fill_string_values() -> None:
    """`${VAR}` is filled in anywhere in a string value; also several, also in lists."""
    stage = {"builtin": "none", "when": "a == '${A}${B}' && ${A}", "timeout": "${T}"}
    settings = resolve(
        {"stage": [stage], "output": "${A}"}, environment={"A": "x", "B": "", "T": "2m"}
    )
    assert settings.stage[0].when == "a == 'x' && x"
    assert settings.stage[0].timeout == 120
    assert settings.output == "x"


def test_what_is_filled_in_is_not_scanned_again() -> None:
    """A value from the environment is text: `${B}` in it is not a variable."""
    for value in ("${B}", "$", "${", "$A", "\\1 \\g<0>", "{{x}}"):
        settings = resolve({"output": "a${A}b"}, environment={"A": value, "B": "no"})
        assert settings.output == f"a{value}b"
    assert resolve({"output": "$${A}}"}, environment={"A": "{B"}).output == "${B}"


@pytest.mark.parametrize("text", ["$A", "${", "${}", "${1A}", "${A B}", "$(A)", "{A}"])
def test_what_is_no_variable_stays(text: str) -> None:
    """Only `${NAME}` is a variable."""
    assert resolve({"output": text}, environment={}).output == text


def test_missing_variables_are_errors() -> None:
    """A variable that is not set is an error, each with its path; an empty one is set."""
    found = problems({"output": "${A}${B}", "stage": [{**NONE, "when": "${C}"}]}, B="")
    assert found == [
        "output: the environment variable A is not set",
        "stage[0].when: the environment variable C is not set",
    ]


def test_keys_and_numbers_are_not_filled() -> None:
    """Variables stand in string values only."""
    assert problems({"${A}": 1}, A="output")[0].startswith("${A}: unknown key")


@pytest.mark.parametrize(
    "table",
    [
        {"timeout": "${KEY}"}, {"on_error": "${KEY}"}, {"concurrency": "${KEY}"},
        {"max_line_bytes": "${KEY}"}, {"stage": [{"builtin": "${KEY}"}]}, {"stage": "${KEY}"},
        {"stage": ["x ${KEY}"]}, {"stage": [{**NONE, "name": "no ${KEY}"}]},
        {"stage": [{**NONE, "into": "a..${KEY}"}]}, {"stage": [{**NONE, "country": "${KEY}"}]},
    ],
)  # fmt: skip
def test_errors_do_not_show_what_the_environment_says(table: dict[str, Any]) -> None:
    """The value of a variable may be a secret: errors show `${KEY}` in its place."""
    found = "\n".join(problems(table, KEY=SECRET))
    assert "${KEY}" in found
    assert SECRET not in found


def test_set() -> None:
    """`--set` sets one key of one stage: TOML if it parses, else a string."""
    table = {"stage": [{"python": "m:f"}, {"python": "m:f", "timeout": 1}]}
    sets = ["f.timeout=5", "f-2.timeout=2m", 'f.into="a.b"', "f-2.when=x==y"]
    settings = resolve(table, {}, sets)
    first, second = settings.stage
    assert (first.timeout, first.into) == (5, "a.b")
    assert (second.timeout, second.when) == (120, "x==y")
    assert table == {"stage": [{"python": "m:f"}, {"python": "m:f", "timeout": 1}]}


@pytest.mark.parametrize(("before", "limit"), [("20/s", 20.0), ({"limit": "30/s"}, 30.0)])
def test_a_key_is_set_beside_the_value_that_stands_for_a_table(before: Any, limit: float) -> None:
    """`rate = "20/s"` is a table with a limit; `breaker = true` one with nothing said."""
    stage = {"python": "m:f", "name": "s", "rate": before, "breaker": True}
    sets = "s.rate.burst=2", "s.breaker.consecutive=3"
    made = resolve({"stage": [stage]}, sets=sets).stage[0]
    assert (made.rate.limit, made.rate.burst) == (limit, 2)  # type: ignore[union-attr]
    assert made.breaker.consecutive == 3  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("f.timeout", "--set f.timeout: expected STAGE.KEY=VALUE"),
        ("timeout=5", "--set timeout=5: expected STAGE.KEY=VALUE"),
        ("f.=5", "--set f.=5: expected STAGE.KEY=VALUE"),
        ("g.timeout=5", "--set g.timeout=5: there is no stage 'g'; the stages are: f"),
        ("f.timeoot=5", "stage[0].timeoot: unknown key, did you mean timeout?"),
        ("f.timeout=soon", "stage[0].timeout: expected a duration"),
    ],
)
def test_bad_sets(setting: str, problem: str) -> None:
    """A `--set` that fits nothing is an error like any other."""
    [found] = problems({"stage": [{"python": "m:f"}]}, setting)
    assert found.startswith(problem)


@pytest.mark.parametrize("key", ["checkpoint", "dead_letter", "output", "report"])
def test_a_file_without_a_name(key: str) -> None:
    """A variable that is empty; a run would look for such a file for ever, or go without."""
    [found] = problems({key: ""})
    assert found == f"{key}: expected the name of a file, got ''"


def test_precedence() -> None:
    """Defaults < file < flags < `--set`; a timeout flag goes to every stage."""
    table = {
        "timeout": 1, "concurrency": 2,
        "stage": [{"python": "m:f", "timeout": 3}, {"python": "m:g"}],
    }  # fmt: skip
    settings = resolve(table, {"timeout": 4, "ordered": False}, ["g.timeout=5"])
    assert (settings.concurrency, settings.ordered, settings.timeout) == (2, False, 4)
    assert [stage.timeout for stage in settings.stage] == [4, 5]
    assert [stage.timeout for stage in resolve(table).stage] == [3, None]
    replaced = resolve(table, {"stage": [stage_of("none")]})
    assert [stage.name for stage in replaced.stage] == ["none"]


@pytest.mark.parametrize(
    ("spec", "table"),
    [
        ("leads", {"builtin": "leads"}),
        ("x=leads", {"name": "x", "builtin": "leads"}),
        ("pkg.mod:f", {"python": "pkg.mod:f"}),
        ("a-b=./d=e/f.py:g", {"name": "a-b", "python": "./d=e/f.py:g"}),
        ("./d=e/f.py:g", {"python": "./d=e/f.py:g"}),
        ("x=https://h/{a}?b=c", {"name": "x", "http": {"url": "https://h/{a}?b=c"}}),
    ],
)
def test_specs(spec: str, table: dict[str, Any]) -> None:
    """`[NAME=]SPEC`: the name ends at the first `=`, and must be one."""
    assert stage_of(spec) == table


def test_bad_specs() -> None:
    """A SPEC that is none of the kinds is refused, an http one needs a name."""
    with pytest.raises(ConfigError, match="expected leads, none"):
        stage_of("lead")
    with pytest.raises(ConfigError, match="needs a name: -e NAME=https"):
        stage_of("https://example.com/{a}")


def test_files(tmp_path: Path) -> None:
    """A file that is missing, no UTF-8 or no TOML is one clear error with its name."""
    file = tmp_path / "p.toml"
    with pytest.raises(ConfigError, match=r"p\.toml: No such file"):
        read_file(str(file))
    for content in (b"a = ", b"a = 1\na = 2", b'a = "\xff"'):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"p\.toml: not valid TOML"):
            read_file(str(file))
    file.write_bytes('output = "é"'.encode())
    assert isinstance(resolve(read_file(str(file))), Settings)
