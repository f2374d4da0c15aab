"""Every message with which a run is refused or ends, in one list: what, where, what to do next."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from streamproc import errors

ROOT = Path(__file__).parent.parent / "streamproc"
REFUSALS = {"ConfigError", "CreateError", "InputError", "ResumeError", "UnauthorizedError",
            "UnavailableError", "UsageError"}  # fmt: skip
YIELD_THEM = ("contradictions.py", "shares.py")
VAGUE = re.compile(r"\b(invalid|illegal|failed to|went wrong|something|unexpected|sorry)\b", re.I)
# a placeholder, an option, a key, or what is spoken of in words
WHAT = re.compile(r"\{|--?\w|^[\w.]+: |^(a|the|stdin|kafka|replay)\b")
# what is right, what somebody else says, or what to do
NEXT = re.compile(
    r"\{[^}]*(error|had|nearest\w*|reason|why|said|says|problem|how)\b"
    r"|\b(did you mean|expected|ha(s|ve) to|is no|need(s|ed)?|only|are for|can be)\b"
    r"|\b(add|begin|call|check|create|decrypt|delete|do|give|go on|leave|let|lists|make|mark)\b"
    r"|\b(name|pass|pipe|put|raise|redirect|remove|resume|say|set|start|stop|take|uninstall)\b"
    r"|\b(use|write)\b"
    r"|\bthere is another\b|in use by another"  # so this one has to be another one, or wait
)
BROKERS = "kafka"  # librdkafka says what its reason is


def text_of(node: ast.expr) -> str | None:
    """A text, with {what is put into it}; None for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(
                each.value if isinstance(each, ast.Constant) else f"{{{ast.unparse(each.value)}}}"
                for each in values
                if isinstance(each, ast.Constant | ast.FormattedValue)
            )
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (text_of(left) or "{more}") + (text_of(right) or "{more}")
    return None


def messages() -> Iterator[tuple[str, str]]:
    """Where each one stands, and the message."""
    for path in sorted(ROOT.rglob("*.py")):
        if BROKERS in path.relative_to(ROOT).parts:
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in REFUSALS:
                found = [text_of(each) for each in node.args]
            elif isinstance(node, ast.Yield) and node.value and path.name in YIELD_THEM:
                found = [text_of(node.value)]
            else:
                continue
            yield from ((f"{path.stem}:{node.lineno}", text) for text in found if text)


def test_every_message_helps() -> None:
    """One line in our words that names its object and what to do about it."""
    assert all(issubclass(getattr(errors, name), errors.StreamprocError) for name in REFUSALS)
    found = list(messages())
    assert len(found) > 100
    assert [each for each in found if "\n" in each[1] or each[1].endswith((".", "!"))] == []
    assert [each for each in found if VAGUE.search(each[1])] == []
    assert [each for each in found if not WHAT.search(each[1])] == []
    assert [each for each in found if not NEXT.search(each[1])] == []
