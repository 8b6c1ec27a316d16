"""The house rules that a reader relies on, held against the whole tree."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ("service", "host", "runtime", "overlay", "hls")  # each may import from itself and from those to its right
SOURCES = {".py", ".h", ".hpp", ".cpp"}
BUILT = {"build", "dist", "__pycache__"}
MAX_LINES = 400


def committed_files() -> Iterator[Path]:
    """Yield the project's own files; what builds and tools leave behind is not among them."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".strop"))
    for folder in (*FLOORS, "tests", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            hidden = any(part in BUILT or part.startswith(".") for part in path.relative_to(ROOT / folder).parts)
            if path.is_file() and not hidden and path.suffix not in {".so", ".pyc"}:
                yield path


def modules(*folders: str) -> list[Path]:
    """Return the Python files of some top-level folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported_floors(source: Path) -> set[str]:
    """Return the floors that a module imports from, however the import is written."""
    package = source.relative_to(ROOT).parts[:-1]
    floors: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative: from the module's own package upwards
                base = ".".join(("strop", *package[: len(package) - node.level + 1], *filter(None, [node.module])))
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        floors |= {name.split(".")[1] for name in names if name.startswith("strop.")}
    return floors & set(FLOORS)


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_point_down(floor: str) -> None:
    """Protects the one direction of dependency: service, host, runtime, overlay, hls."""
    below = set(FLOORS[FLOORS.index(floor) :])
    upward = {str(path.relative_to(ROOT)): wrong for path in modules(floor) if (wrong := imported_floors(path) - below)}
    assert upward == {}


def test_upward_imports_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the test above: each way to write an upward import is recognized."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    source = tmp_path / "runtime" / "reference" / "arena.py"
    source.parent.mkdir(parents=True)
    for line, floors in {
        "import strop.host.data": {"host"},
        "from strop.host import order": {"host"},
        "from strop import service": {"service"},
        "from ...host import order": {"host"},
        "from .. import errors": {"runtime"},
        "import numpy": set(),
    }.items():
        source.write_text(f"def f():\n    {line}\n", encoding="utf-8")
        assert imported_floors(source) == floors, line


def test_nothing_imports_a_folder_by_its_bare_name() -> None:
    """Protects against a second copy of a module: from the repository root `import runtime` would succeed."""
    bare = []
    for path in modules(*FLOORS, "tests"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            bare += [f"{path.relative_to(ROOT)}: {name}" for name in names if name.split(".")[0] in FLOORS]
    assert bare == []


def test_every_folder_with_code_is_installed() -> None:
    """Protects the wheel: a folder without __init__.py is left out, and an editable installation would hide it."""
    spec = importlib.util.spec_from_file_location("strop_setup", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    setup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(setup)
    folders = {path.parent.relative_to(ROOT).as_posix() for path in modules(*FLOORS)}
    assert set(setup.find_packages().values()) == folders


def test_type_checkers_see_every_floor() -> None:
    """Protects the type check: each folder that has code is listed for mypy and linked in .src."""
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^\[tool\.mypy\].*?^packages = \[(.*?)\]", settings, re.MULTILINE | re.DOTALL)
    assert listed is not None
    floors = {floor for floor in FLOORS if modules(floor)}
    assert set(re.findall(r'"strop\.(\w+)"', listed[1])) == floors
    assert {path.name for path in (ROOT / ".src" / "strop").iterdir()} >= floors


@pytest.mark.parametrize("floor", [*FLOORS, "tests"])
def test_every_module_says_what_it_is(floor: str) -> None:
    """Protects the first thing that a reader meets in a file."""
    silent = [
        str(path.relative_to(ROOT))
        for path in modules(floor)
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_public_names_have_docstrings() -> None:
    """Protects the documentation of the surface: public classes and functions of public modules."""
    silent = []
    for path in modules(*FLOORS):
        if path.name.startswith("_") and path.name != "__init__.py":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                silent += [f"{path.relative_to(ROOT)}: {node.name}"] if not ast.get_docstring(node) else []
    assert silent == []


def test_files_stay_small() -> None:
    """Protects "a file is a room": at 400 lines a second subject lives in it."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in committed_files()
        if path.suffix in SOURCES and (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert long == {}


def test_nothing_depends_on_one_machine() -> None:
    """Protects a fresh clone: no text names a folder of the machine that it was written on."""
    machine = re.compile(r"(?<![\w.$}])/(?:" + "|".join(("work", "root")) + r")/|(?<!\w)" + "shared" + "/")
    found = []
    for path in committed_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # data
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in machine.finditer(text)]
    assert found == []
