"""The rooms of the house, and who may import whom."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import settings

import streamproc

HOUSE = Path(streamproc.__file__).parent
FILES = sorted(HOUSE.rglob("*.py"))
MIDDLE = (
    "sources", "sinks", "enrichers", "policies", "engines", "http", "telemetry", "checkpoint",
    "kafka",
    "pipeline",
)  # fmt: skip
FLOOR = {
    "__main__": 10, "cli": 9, "contracts": 9, "trials": 8, "assembly": 7, "config": 6,
    **dict.fromkeys(MIDDLE, 5),
    "testing": 4, "codec": 3, "interfaces": 2, "record": 0, "errors": 0, "units": 0, "secrets": 0,
    "version": 0, "waiting": 0, "fingerprint": 0, "frontier": 1, "counters": 1, "call_metrics": 0,
    "targets": 0, "attendance": 0, "pipes": 0, "waits": 0, "nearest": 0, "memory": 0, "shown": 1,
    "wall_clock": 0, "threads": 1, "entering": 0, "types": -2, "paths": -1, "crc32": -1,
}  # fmt: skip
# kafka → http: a template is one thing, in a URL and in a key
SIBLINGS = {("enrichers", "http"), ("enrichers", "policies"), ("kafka", "http")}
MAX_LINES = 300
# where names stand for modules; the last one begins a new process
REGISTRIES = ("__init__.py", "cli/main.py", "config/registry.py", "engines/worker_pool.py")
REASON = re.compile(r"  # (?!type:|noqa|fmt:)[\w`]")
IGNORED = re.compile(r"# type: ignore\[[\w-]+\]  # \w")
NAMED = re.compile(r"streamproc(?:\.\w+)+")
# what values are made of
VALUES = {f"msgspec.{name}" for name in ("Struct", "field", "structs", "Meta", "UNSET")}
# what several files write to, because it is a state and no part: of a line in the stream, of
# a record in the engine, of an input, of a partition and its messages, of a process, of a target;
# heads that are known count how often for whoever reads them
STATES = {
    "Batch", "Slot", "Part", "Lane", "Outgoing", "Group", "WorkItem", "WorkerProcess", "Doubt",
    "Outage", "KnownHeads", "Struct", "Exception",
}  # fmt: skip


def name_of(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


def module_of(path: Path) -> str:
    parts = path.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """`streamproc.codec.decode` is in `codec`; what stands in the front door is in ``.

    The contracts are tests, of whole pipelines too: they stand above what they test.
    """
    if module.startswith("streamproc.testing.contracts"):
        return "contracts"
    room = module.split(".")[1] if "." in module else ""
    return room if room in FLOOR else ""


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree_of(path)))


def words_of(path: Path) -> set[bytes]:
    return set(re.findall(rb"\w+", path.read_bytes()))


def dotted(node: ast.AST) -> str:
    """`msgspec.json.schema` where that is what stands there; empty for all else."""
    if isinstance(node, ast.Name):
        return node.id
    start = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{start}.{node.attr}" if start else ""


@cache
def imports(path: Path) -> frozenset[str]:
    """The dotted names that a file imports, at the top or later."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: a relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def attributes(path: Path) -> set[str]:
    """Dotted names that a file uses, such as `msgspec.json.schema`; longest ones only."""
    found = [node for node in nodes(path) if isinstance(node, ast.Attribute)]
    inner = {id(node.value) for node in found}
    return {dotted(node) for node in found if id(node) not in inner} - {""}


def allowed(here: str, there: str) -> bool:
    if here == there or (here, there) in SIBLINGS:
        return True
    if there == "testing":
        return here in ("assembly", "trials", "contracts")
    if there == "":
        return here in ("cli", "__main__")
    return FLOOR[here] > FLOOR[there]


def at_import(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when a module is imported: not those of functions, nor for annotations.

    What stands under TYPE_CHECKING may close a circle, because no program runs it; the rooms above
    hold for it all the same.
    """
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If):
            is_run = ast.unparse(node.test) != "TYPE_CHECKING"
            yield from at_import([*(node.body if is_run else []), *node.orelse])
        elif isinstance(node, ast.Try):
            handled = [each for handler in node.handlers for each in handler.body]
            yield from at_import([*node.body, *handled, *node.orelse, *node.finalbody])
        elif isinstance(node, ast.With | ast.ClassDef):
            yield from at_import(node.body)


def needs() -> dict[str, set[str]]:
    """By module, those of the house that it imports while it is imported."""
    modules = {module_of(path): path for path in FILES}
    found: dict[str, set[str]] = {}
    for module, path in modules.items():
        found[module] = set()
        for node in at_import(tree_of(path).body):
            start = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                name = start + alias.name
                while name and name not in modules:
                    name = name.rpartition(".")[0]
                found[module] |= {name} - {"", module}
    return found


def loose_ends(left: dict[str, set[str]]) -> set[str]:
    """The modules that need none of these, and those that none of these needs: in no circle."""
    needed = set().union(*left.values())
    return {each for each in left if not left[each] & left.keys() or each not in needed}


def says_any(node: ast.AST) -> bool:
    """Also in quotes."""
    return re.search(r"\bAny\b", ast.unparse(node)) is not None


def is_docstring(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def unexplained(path: Path, lines: list[str]) -> Iterator[int]:
    """Where a signature, or an alias, has `Any` and nothing is said of it."""
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [each for each in ast.walk(node.args) if isinstance(each, ast.arg)]
            annotations = [node.returns, *(each.annotation for each in arguments)]
            header = lines[node.lineno - 1 : max(node.lineno, node.body[0].lineno - 1)]
            is_open = any(each is not None and says_any(each) for each in annotations)
            if is_open and not any(map(REASON.search, header)):
                yield node.lineno
    for node, after in pairwise([*tree_of(path).body, None]):
        is_alias = isinstance(node, ast.Assign) and ast.unparse(node)[0].isupper()
        if is_alias and says_any(node) and not is_docstring(after):
            yield node.lineno


def inside(path: Path, *rooms: str) -> bool:
    return name_of(path) in rooms or name_of(path).split("/")[0] in rooms


def wrong(broken: Callable[[Path], object], *but: str) -> dict[str, object]:
    """What is wrong with which files, but for those in such rooms."""
    found = {name_of(path): broken(path) for path in FILES if not inside(path, *but)}
    return {name: what for name, what in found.items() if what}


def test_every_file_is_in_a_room_that_the_picture_knows() -> None:
    """A new room has its place among the others before anything is put into it."""
    rooms = {name_of(path).split("/")[0].removesuffix(".py") for path in FILES}
    assert rooms - {"__init__"} <= FLOOR.keys()


def test_imports_go_downward() -> None:
    """A room knows only the rooms below it, and its siblings not at all."""

    def upward(path: Path) -> list[str]:
        here = room_of(module_of(path))
        found = {each for each in imports(path) if each.split(".")[0] == "streamproc"}
        return [each for each in found if not allowed(here, room_of(each))]

    assert wrong(upward, "__init__.py") == {}  # the front door names what others made


def test_no_imports_go_in_a_circle() -> None:
    """Inside a room, too: what is needed stands before what needs it, so it can be read alone."""
    left = needs()
    while free := loose_ends(left):
        for module in free:
            del left[module]
    assert {module: sorted(needed & left.keys()) for module, needed in left.items()} == {}


def test_modules_are_named_in_registries_only() -> None:
    """A name in a string is an import that no tool sees."""
    modules = {module_of(path) for path in FILES} - {"streamproc"}

    def named(path: Path) -> set[str]:
        lines = path.read_text().splitlines()
        if not any(NAMED.search(line) and "import " not in line for line in lines):
            return set()
        docstrings = {id(node.value) for node in nodes(path) if isinstance(node, ast.Expr)}
        texts = [node.value for node in nodes(path)
                 if isinstance(node, ast.Constant) and id(node) not in docstrings]  # fmt: skip
        return modules & set(NAMED.findall(" ".join(map(str, texts))))

    assert wrong(named, *REGISTRIES) == {}


@cache
def classes() -> dict[str, list[tuple[Path, ast.ClassDef]]]:
    found: dict[str, list[tuple[Path, ast.ClassDef]]] = {}
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append((path, node))
    return found


def is_state(name: str) -> bool:
    """Whether it is one, or derives from one."""
    bases = [base.id for _, node in classes().get(name, ()) for base in node.bases
             if isinstance(base, ast.Name)]  # fmt: skip
    return name in STATES or any(map(is_state, bases))


def stored(these: Iterable[ast.AST]) -> Iterator[ast.Attribute]:
    for each in these:
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store):
            yield each


def is_own(attribute: ast.Attribute) -> bool:
    return isinstance(attribute.value, ast.Name) and attribute.value.id in ("self", "cls")


@cache
def owners() -> dict[str, set[tuple[str, Path]]]:
    """By attribute, the classes in which it may be set, and where they stand."""
    found: dict[str, set[tuple[str, Path]]] = {}
    for name, places in classes().items():
        for path, node in places:
            if any(keyword.arg == "frozen" for keyword in node.keywords):
                continue
            declared = [each.target for each in node.body if isinstance(each, ast.AnnAssign)]
            names = {each.id for each in declared if isinstance(each, ast.Name)}
            for attribute in names | {each.attr for each in stored(ast.walk(node)) if is_own(each)}:
                found.setdefault(attribute, set()).add((name, path))
    return found


def test_nothing_is_set_on_a_part_from_outside() -> None:
    """What a part needs it is given when it is made, so that it is whole from then on.

    States and values are written to where things happen, and a class by its own file. An attribute
    that no class of the house has is somebody else's.
    """

    def set_outside(path: Path) -> list[str]:
        found = []
        for each in stored(nodes(path)):
            having = owners().get(each.attr, set())
            is_at_home = any(home == path or is_state(name) for name, home in having)
            if having and not is_at_home and not is_own(each):
                found.append(ast.unparse(each))
        return found

    assert wrong(set_outside) == {}


def test_what_is_not_checked_says_why() -> None:
    """mypy looks away at `# type: ignore` and at `Any`: each has its reason beside it.

    In a signature that is a comment; an alias, such as those of `streamproc.types`, has a
    docstring.
    """

    def silent(path: Path) -> list[int]:
        lines = path.read_text().splitlines()
        ignored = [number for number, line in enumerate(lines, 1)
                   if "# type: ignore" in line and not IGNORED.search(line)]  # fmt: skip
        has_any = any("import" in line and "Any" in line for line in lines)
        return ignored + (list(unexplained(path, lines)) if has_any else [])

    assert wrong(silent) == {}


def test_the_front_door_imports_nothing_by_itself() -> None:
    """`import streamproc` costs next to nothing: what it promises is imported on first use."""
    body = tree_of(HOUSE / "__init__.py").body
    top = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [n for n in top if isinstance(n, ast.ImportFrom) and "streamproc" in str(n.module)]


HOMES = {
    "aiohttp": (
        "http/aiohttp.py", "http/aiohttp_connection.py", "telemetry/monitor.py",
        "telemetry/events.py",
    ),
    "prometheus_client": ("telemetry/metrics.py",),
    "opentelemetry": ("telemetry/otlp.py", "telemetry/otlp_metrics.py"),
    "httptools": ("http",),
    "click": ("cli",),
    "uvloop": ("cli/launch.py",),
    "orjson": ("codec",),
    "tomlkit": ("config/toml.py", "trials/rewrite.py"),
    "confluent_kafka": ("kafka",),
}  # fmt: skip


def test_foreign_packages_stay_in_their_rooms() -> None:
    """Each foreign package is known to one room, so that changing it changes one room."""

    def foreign(path: Path) -> list[str]:
        found = {each.split(".")[0] for each in imports(path)} & HOMES.keys()
        return [each for each in found if not inside(path, *HOMES[each])]

    def of_msgspec(path: Path) -> set[str]:
        return {each for each in imports(path) if each.split(".")[0] == "msgspec"} - VALUES

    assert wrong(foreign) == {}
    assert wrong(of_msgspec, "codec", "config", "cli/check.py") == {}


def test_only_codec_parses_and_writes_json() -> None:
    """Everyone else gets JSON through codec; config may make a schema."""
    of_schemas = {"msgspec.json.schema", "msgspec.json.schema_components"}

    def of_json(path: Path) -> set[str]:
        used = {each for each in attributes(path) if each.startswith("msgspec.json")}
        taken = {each for each in imports(path) if each.startswith(("json", "msgspec.json"))}
        return (used | taken) - (of_schemas if inside(path, "config") else set())

    assert wrong(of_json, "codec") == {}


def test_no_two_public_classes_share_a_name() -> None:
    """One meaning each (`docs/design/glossary.md`)."""
    found: dict[str, list[str]] = {}
    for path in FILES:
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(name_of(path))
    assert {name: homes for name, homes in found.items() if len(homes) > 1} == {}


def test_files_are_short() -> None:
    """A file has one job, so it is not long."""
    assert wrong(lambda path: len(path.read_bytes().splitlines()) > MAX_LINES) == {}


def test_only_the_street_door_prints_and_exits() -> None:
    """Only edges touch the world: what a library prints would get into somebody's data."""

    def called(path: Path) -> set[str]:
        calls = {dotted(node.func) for node in nodes(path) if isinstance(node, ast.Call)}
        return calls & {"print", "sys.exit", "os._exit", "exit", "quit"}

    assert wrong(called, "cli") == {}


def exporting() -> list[str]:
    return [module_of(p) for p in FILES if b"\n__all__ = " in p.read_bytes()]


def in_all(name: str) -> tuple[bool, bool, str]:
    """The usual order: CONSTANTS, Classes, functions."""
    return not name.isupper(), not name[0].isupper(), name


@pytest.mark.parametrize("module", exporting())
def test_all_is_sorted_and_importable(module: str) -> None:
    """What stands in `__all__` exists, once, and can be found."""
    found = import_module(module)
    assert list(found.__all__) == sorted(set(found.__all__), key=in_all)
    for name in found.__all__:
        assert getattr(found, name) is not None


@pytest.mark.parametrize("path", [HOUSE / "__init__.py", HOUSE / "codec" / "__init__.py"])
def test_all_is_complete(path: Path) -> None:
    """A name that a package takes in from its files is a name that it promises."""
    taken = {each.rpartition(".")[2] for each in imports(path) if each.startswith("streamproc.")}
    assert taken == set(import_module(module_of(path)).__all__)


def test_no_example_has_a_time_limit() -> None:
    """A machine may be busy: the profile in tests/conftest.py says it for all tests."""
    assert settings().deadline is None
    limited = [
        f"{path}:{node.lineno}"
        for path in sorted(Path(__file__).parent.rglob("*.py"))
        if path.name != "conftest.py" and {b"deadline", b"settings"} <= words_of(path)
        for node in nodes(path)
        if isinstance(node, ast.Call)
        and any(keyword.arg == "deadline" for keyword in node.keywords)
        and ast.unparse(node.func).endswith("settings")
    ]
    assert limited == []


def test_the_front_door_refuses_unknown_names() -> None:
    """A misspelt name is an AttributeError, as in any module."""
    with pytest.raises(AttributeError, match="Pipelin"):
        streamproc.Pipelin  # noqa: B018


@pytest.mark.parametrize("module", ["streamproc", "streamproc.cli.main", "streamproc.cli.worker"])
def test_starting_imports_nothing_heavy(module: str) -> None:
    """What a run may not need is not imported before it is needed."""
    heavy = ["aiohttp", "phonenumbers", "tldextract", "probablepeople", "matplotlib"]
    if module != "streamproc.cli.main":
        heavy.append("click")
    program = f"import sys, {module}; print(*sorted(set(sys.modules) & set({heavy!r})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == []
