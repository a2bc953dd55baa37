"""The house rules of CONTRIBUTING.md that a machine can hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "include" / "moderation"
TOPS = tuple(ROOT / name for name in ("include", "plugins", "dags"))
FOLDERS = sorted({path.parent for top in TOPS for path in top.rglob("*.py")})
SIGNS = sorted(path for top in TOPS for path in top.rglob("__init__.py"))
UNIT = ROOT / "tests" / "unit"

MODULES_IN_THE_ROOT = 10
MODULES_IN_A_FOLDER = 14
LINES_IN_A_MODULE = 400


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_the_root_of_the_package_holds_what_is_beside_the_rooms() -> None:
    names = sorted(path.name for path in PACKAGE.glob("*.py"))
    assert len(names) <= MODULES_IN_THE_ROOT, names


@pytest.mark.parametrize("folder", FOLDERS, ids=place)
def test_a_folder_can_be_looked_over(folder: Path) -> None:
    names = sorted(path.name for path in folder.glob("*.py"))
    assert len(names) <= MODULES_IN_A_FOLDER, f"{len(names)}: {names}"


def test_a_module_has_one_thing_to_do() -> None:
    sizes = {
        place(path): len(path.read_text(encoding="utf-8").splitlines())
        for top in TOPS
        for path in top.rglob("*.py")
    }
    long = {name: lines for name, lines in sizes.items() if lines > LINES_IN_A_MODULE}
    assert not long, long


@pytest.mark.parametrize("path", SIGNS, ids=place)
def test_a_folders_init_is_the_sign_on_its_door(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))
    if path.parent != PACKAGE:  # the package itself chooses the allocator, before anything allocates
        assert [ast.unparse(statement) for statement in tree_of(path).body[1:]] == []


TESTS_OF_MORE_THAN_A_MODULE = {
    "analyse/detect/test_whole_runs.py": "several tasks that share a quota",
    "local_aws/inference/test_whole_pictures.py": "decoding and the moderator, by broken pictures",
    "local_aws/rekognition/test_manifest_and_spool.py": "a spool holds the lines of a manifest",
    "query/test_ready_queries.py": "the SQL files in query/ready",
    "sources/test_order.py": "the order of a listing, from the source to the plan",
    "test_bounds.py": "every loop that waits, in whatever room",
    "warehouses/test_sql_texts.py": "the SQL of all warehouses",
}


def modules_tested_by(path: Path) -> list[Path]:
    """Where the module may lie that a test file names: its room is that of the test."""
    room, name = path.relative_to(UNIT).parent, path.stem.removeprefix("test_") + ".py"
    return [place for top in (PACKAGE, ROOT / "include", ROOT) if (place := top / room / name).is_file()]


def test_a_test_lies_where_the_module_lies_that_it_names() -> None:
    strays = {
        str(path.relative_to(UNIT))
        for path in UNIT.rglob("test_*.py")
        if path.parent != Path(__file__).parent and not modules_tested_by(path)
    }
    unlisted, gone = strays - TESTS_OF_MORE_THAN_A_MODULE.keys(), TESTS_OF_MORE_THAN_A_MODULE.keys() - strays
    assert not unlisted, f"name the module, or list it with its reason: {sorted(unlisted)}"
    assert not gone, f"is there no longer, or names a module now: {sorted(gone)}"


FORMER_NAMES = frozenset(
    {
        "moderation.frames",
        "moderation.dictionary",
        "moderation.native",
        "moderation.detect",
        "moderation_warehouses",
    }
)
"""Public names of the last release: they have nothing of their own to import."""

IMPORT_ROOTS = (*TOPS, ROOT / "tests", ROOT / "benchmarks", ROOT / "benchmarks" / "flatten")


@cache
def file_of(module: str) -> Path | None:
    """The file of a module of ours."""
    relative = Path(*module.split("."))
    for root in IMPORT_ROOTS:
        for path in (root / relative.with_suffix(".py"), root / relative / "__init__.py"):
            if path.is_file():
                return path
    return None


@cache
def borrowed(path: Path) -> frozenset[str]:
    """The names that a module has at its top because it imports them."""
    return frozenset(
        alias.asname or alias.name.partition(".")[0]
        for node in tree_of(path).body
        for statement in ast.walk(node)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and isinstance(statement, ast.Import | ast.ImportFrom)
        for alias in statement.names
    )


def taken_from_a_borrower(path: Path) -> Iterator[str]:
    """What a file imports from a module that imports it from elsewhere."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module not in FORMER_NAMES:
            source = file_of(node.module)
            if source is not None:
                yield from (
                    f"{place(path)}: {alias.name} from {node.module}"
                    for alias in node.names
                    if alias.name in borrowed(source) and file_of(f"{node.module}.{alias.name}") is None
                )


def test_a_name_is_imported_from_the_module_that_defines_it() -> None:
    folders = ("include", "plugins", "dags", "tests", "benchmarks", "examples")
    found = [
        name
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in taken_from_a_borrower(path)
    ]
    assert not found, "\n".join(found)


def test_a_command_that_is_printed_is_how_a_person_calls_it_here() -> None:
    """``MODERATION_COMMAND``, which is no bare name in a checkout; texts of docs and of help say the name."""
    named = re.compile(r"`moderation [a-z]")
    generic = ("settings.py", "query/dictionary.py", "console/alone.py", "console/pages/adapters.py")
    found = []
    for path in sorted((ROOT / "include" / "moderation").rglob("*.py")):
        place = path.relative_to(ROOT / "include" / "moderation")
        if str(place) in generic or place.parts[0] == "variables":
            continue
        tree = ast.parse(path.read_text())
        told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        helps = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.keyword) and node.arg == "help"
            for part in ast.walk(node)
        }
        found += [
            f"{place}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if named.search(node.value) and id(node) not in told | helps
        ]
    assert not found, f"take `command` of the settings: {found}"


def test_tests_run_in_a_folder_of_their_own() -> None:
    """What goes by a default, `var/` of the working directory, lands nowhere near what a person made."""
    assert not Path.cwd().is_relative_to(ROOT)


def test_what_s3_sends_is_read_with_its_length_checked() -> None:
    """As a context manager, botocore's body hands out the raw stream, to which half of a file is it all."""
    raw = [
        f"{place(path)}:{node.lineno}"
        for top in TOPS
        for path in top.rglob("*.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.With)
        and any(ast.unparse(item.context_expr).endswith("['Body']") for item in node.items)
    ]
    assert not raw, raw


def test_pages_look_at_the_tables_in_bounded_memory() -> None:
    """Left alone, DuckDB takes four fifths of a machine, and Airflow's web server is the same process."""
    unbounded = [
        place(path)
        for path in (ROOT / "include/moderation/console").rglob("*.py")
        if path.name != "looks.py" and "import open_published" in path.read_text(encoding="utf-8")
    ]
    assert not unbounded, f"take `look_at`: {unbounded}"
