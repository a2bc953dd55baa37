"""No file imports itself by way of others, so that each can be read, and changed, after what it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = {
    path.parent.name: path.parent
    for top in ("include", "plugins")
    for path in ROOT.glob(f"{top}/*/__init__.py")
}
SINGLE_FILES = {path.stem: path for top in ("plugins", "dags") for path in ROOT.glob(f"{top}/*.py")}


def module_of(path: Path, top: Path) -> str:
    parts = path.relative_to(top).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files() -> dict[str, Path]:
    """Every module of ours."""
    packaged = {
        module_of(path, folder.parent): path for folder in PACKAGES.values() for path in folder.rglob("*.py")
    }
    return packaged | SINGLE_FILES


def imported_names(tree: ast.AST) -> Iterator[str]:
    """What is imported in a file or function, by every name that may be a module's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@lru_cache(maxsize=1)
def graph() -> Mapping[str, set[str]]:
    """The modules of ours that each module of ours imports; grimp knows packages only, no single files."""
    found = grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)
    outside = {module for module in found.modules if found.is_module_squashed(module)} - SINGLE_FILES.keys()
    imports = {
        module: found.find_modules_directly_imported_by(module) - outside
        for module in found.modules - outside
    }
    for name, path in SINGLE_FILES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports[name] = set(imported_names(tree)) & (imports.keys() | SINGLE_FILES.keys())
    return imports


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """Modules of which each imports the next, and the last is the first; none when there is no circle."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1][::-1]
    return []


def test_every_file_is_looked_at() -> None:
    assert graph().keys() == files().keys()


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("moderation.flatten.parse", "moderation.flatten.native.parse"),
        ("moderation.native", "moderation.flatten.native.library"),
        ("moderate_images", "moderation.stages"),
        ("moderation_warehouses", "moderation_airflow.warehouse_tasks"),
    ],
)
def test_imports_between_packages_and_single_files_are_seen(importer: str, imported: str) -> None:
    assert imported in graph()[importer]


def test_imports_inside_of_functions_are_seen() -> None:
    inside = {
        (module, name)
        for module, path in files().items()
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        for name in imported_names(function)
        if name in graph()
    }
    assert inside
    seen = {
        module: {*imports, *(name.rpartition(".")[0] for name in imports)}
        for module, imports in graph().items()
    }
    assert [(module, name) for module, name in sorted(inside) if name not in seen[module]] == []


def test_a_circle_is_named() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    found = circle({"a": {"b", "d"}, "b": {"c"}, "c": {"a"}, "d": set()})
    assert found[0] == found[-1]
    assert set(pairwise(found)) == {("a", "b"), ("b", "c"), ("c", "a")}


def test_no_file_imports_itself_by_way_of_others() -> None:
    found = circle(graph())
    assert not found, "a circle of imports: " + " -> ".join(found)
