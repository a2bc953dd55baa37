"""The variables of the local stack are those that its code reads."""

from __future__ import annotations

import ast
from pathlib import Path

import local_aws
from local_aws import variables
from local_aws.stack.run import Request
from moderation import settings

PASSED_ON = {"HOME", "NO_PROXY", "no_proxy", "PYTHONPATH"}
"""Variables of other programs that the stack hands on to those it starts."""


def names_read(source: str) -> set[str]:
    """Names that a module looks up in an environment, given as text or as a constant of the module."""
    tree = ast.parse(source)
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            holder, key = node.func.value, node.args[0] if node.args else None
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            holder, key = node.value, node.slice
        else:
            continue
        if not ast.unparse(holder).endswith("environ"):
            continue
        if isinstance(key, ast.Constant):
            found.add(key.value)
        elif isinstance(key, ast.Name) and key.id in constants:
            found.add(constants[key.id])
    return found


def test_each_variable_that_the_stack_reads_is_told_and_no_other() -> None:
    told = {name for variable in variables.VARIABLES for name in variable.names}
    ports = {name for variable in variables.PORTS for name in variable.names}
    folder = Path(local_aws.__file__).parent
    read = {name for path in folder.rglob("*.py") for name in names_read(path.read_text(encoding="utf-8"))}
    assert read - PASSED_ON - settings.known() <= told
    assert told - ports <= read


def test_the_defaults_of_a_run_are_the_ones_told(tmp_path: Path) -> None:
    told = {variable.names[0]: variable.default.strip("`") for variable in variables.RUN}
    assert told.pop("IMAGES").endswith("demo_images")
    told.pop("REDO")
    assert told.pop("ADAPTER") == "the base model"
    assert told.pop("MIN_CONFIDENCE") == "as `MODERATION_MIN_CONFIDENCE` says"
    unset = Request.from_environment({}, default_images=tmp_path)
    assert Request.from_environment(told, default_images=tmp_path) == unset
    assert told
