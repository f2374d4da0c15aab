"""Plugins: `tests/plugin` brings a kind of stage and a policy, of which the house knows nothing."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import install_other

pytestmark = pytest.mark.forked
Run = Callable[..., subprocess.CompletedProcess[bytes]]

LEADS = b'{"name":"abc"}\n{"name":"xy"}\n{"name":7}\n{"name":"q"}\n'
PIPELINE = """
[[stage]]
name = "back"
into = "."
reverse = { field = "name" }
quota = 3
"""


def lines(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def account(done: subprocess.CompletedProcess[bytes]) -> dict[str, object]:
    return dict(json.loads(done.stderr.splitlines()[-1]))


def test_a_kind_of_stage_is_named_as_ours_are(run: Run) -> None:
    done = run("-e", "reverse:name", stdin=LEADS)
    assert done.returncode == 0, done.stderr
    reversed_ = [line.get("reversed") for line in lines(done)]
    assert reversed_ == ["cba", "yx", None, "q"]


def test_a_module_of_the_user_comes_before_a_plugin(run: Run, folder: Path) -> None:
    (folder / "reverse.py").write_text("def name(record):\n    return {'mine': True}\n")
    assert all(line["mine"] for line in lines(run("-e", "reverse:name", stdin=LEADS)))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_policy_bounds_the_whole_run(run: Run, folder: Path, workers: str) -> None:
    """Over all workers, and what it counts is in the summary."""
    (folder / "p.toml").write_text(PIPELINE.replace("quota = 3", "quota = 60"))
    leads = b'{"name":"abc"}\n' * 200
    done = run("-c", "p.toml", "-w", workers, "--unordered", "--summary", "json", stdin=leads)
    assert done.returncode == 3, done.stderr
    out = lines(done)
    of_stage = account(done)["stages"]["back"]  # type: ignore[index]
    assert len(out) == 200
    # a worker that was given few records has some of its part left
    assert of_stage["requests"] == sum("reversed" in line for line in out) <= 60
    refused = [line["_error"]["kind"] for line in out if "_error" in line]  # type: ignore[index]
    assert refused == ["quota"] * of_stage["over_quota"]
    if workers == "1":
        assert of_stage["requests"] == 60


def test_a_quota_that_cannot_be_shared_is_refused(run: Run, folder: Path) -> None:
    (folder / "p.toml").write_text(PIPELINE)
    done = run("-c", "p.toml", "-w", "4", stdin=LEADS)
    assert (done.returncode, done.stdout) == (78, b"")
    assert b"stage back: a quota of 3 cannot be shared by 4 workers" in done.stderr


def test_check_shows_what_it_means(run: Run, folder: Path) -> None:
    (folder / "p.toml").write_text(PIPELINE)
    done = run("check", "p.toml", "--set", "back.reverse.into=turned")
    assert done.returncode == 0, done.stderr
    assert b"quota = { calls = 3 }" in done.stdout
    assert b'reverse = { field = "name", into = "turned" }' in done.stdout


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("reverse = { feild = 'name' }", b"reverse.feild: unknown key, did you mean field?"),
        ("reverse = 'name'\nquota = 0", b"quota.calls: expected int >= 1, got 0"),
        ("reverse = 'name'\nquota = 3\nbatch = 5", b"stage[0].quota: counts calls"),
        ("reverse = 'name'\npython = 'm:f'", b"stage[0]: expected exactly one of"),
        ("revers = 'name'", b"stage[0].revers: unknown key"),
        ("retry = { attempst = 3 }", b"retry.attempst: unknown key, did you mean attempts?"),
    ],
)
def test_mistakes_are_told_as_in_our_own_tables(
    run: Run, folder: Path, stage: str, said: bytes
) -> None:
    (folder / "p.toml").write_text(f"[[stage]]\n{stage}\n")
    done = run("-c", "p.toml", stdin=LEADS)
    assert done.returncode == 78
    assert said in done.stderr


def test_the_schema_has_them(run: Run) -> None:
    schema = json.loads(run("schema").stdout)
    of_stage = schema["$defs"]["StageSettings"]["properties"]
    assert of_stage["quota"]["anyOf"][0] == {"$ref": "#/$defs/Quota"}
    assert schema["$defs"]["Reverse"]["required"] == ["field"]


def test_a_run_is_resumed_with_another_quota_and_not_with_another_field(
    run: Run, folder: Path
) -> None:
    """A policy is how a thing is done, a kind what is done."""
    (folder / "p.toml").write_text(PIPELINE)
    (folder / "in.jsonl").write_bytes(LEADS)
    durable = "in.jsonl", "-o", "out", "--checkpoint", "c", "--resume"
    first = run("-c", "p.toml", *durable, "--set", "back.quota.calls=9")
    assert first.returncode == 0, first.stderr
    with (folder / "in.jsonl").open("ab") as file:
        file.write(b'{"name":"mno"}\n')
    assert run("-c", "p.toml", *durable, "--set", "back.quota.calls=8").returncode == 0
    assert b'"onm"' in (folder / "out").read_bytes()
    other = run("-c", "p.toml", *durable, "--set", "back.reverse.into=turned")
    assert other.returncode == 65, other.stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("retry", "streamproc_example.quota:Quota", b"a name that exists already"),
        ("reverse", "streamproc_example.quota:Quota", b"there are two of that name"),
        ("turn", "streamproc_example.quota:Quota", b"is no StageKind"),
        ("turn", "nowhere:Turn", b"cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_told(
    run: Run, folder: Path, name: str, value: str, said: bytes
) -> None:
    """Another distribution, found as one that is installed."""
    install_other(folder, "streamproc.stages", name, value)
    (folder / "p.toml").write_text(f"[[stage]]\n{name} = 'name'\n")
    command = ["check", "p.toml"] if name != "retry" else ["schema"]
    done = run(*command, env={"PYTHONPATH": str(folder)})
    assert done.returncode == 78, done.stdout
    assert said in done.stderr


def test_whoever_uses_none_does_not_look_for_them(folder: Path) -> None:
    """Looking for entry points costs more than everything else at the start of `-e none`."""
    fallback = "fallback = [{ value = { none = true } }]"
    stage = f"[[stage]]\npython = 'stages:plain'\nretry = true\n{fallback}\n"
    (folder / "p.toml").write_text(stage)
    durable = ["-o", "out", "--checkpoint", "c"]
    for arguments in (["-e", "none"], ["-c", "p.toml", *durable]):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "streamproc", *arguments],
            input=LEADS, capture_output=True, cwd=folder, check=True,
        )  # fmt: skip
        assert b"streamproc.config.registry" in done.stderr
        assert b"importlib.metadata" not in done.stderr
