"""What is installed is what a file of this repository names by its checksum."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[3]
LOCKS = sorted(
    [
        *ROOT.glob("requirements*.txt"),
        ROOT / "benchmarks" / "requirements.txt",
        ROOT / "deploy" / "mwaa" / "requirements-mwaa.txt",
    ]
)
PYTHONS = [Version(text) for text in ("3.11", "3.12", "3.13", "3.14")]


def entries(path: Path) -> list[tuple[Requirement, list[str]]]:
    """Each requirement of a compiled file with its checksums."""
    text = re.sub(r"^ *#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = []
    for line in filter(None, text.replace(" \\\n", " ").splitlines()):
        requirement, *hashes = line.split(" --hash=")
        found.append((Requirement(requirement.strip()), [value.strip() for value in hashes]))
    return found


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.parent.name + "/" + path.name)
def test_every_package_has_one_version_and_checksums(path):
    found = entries(path)
    assert found
    for requirement, hashes in found:
        assert re.fullmatch(r"==[^*]+", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), requirement


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.parent.name + "/" + path.name)
def test_a_lock_names_no_place_that_packages_come_from(path):
    assert "://" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.parent.name + "/" + path.name)
def test_a_lock_is_compiled_from_what_stands_beside_it(path):
    wanted = {
        Requirement(line.split("#")[0]).name.lower()
        for line in path.with_suffix(".in").read_text(encoding="utf-8").splitlines()
        if line.split("#")[0].strip() and not line.startswith("-")
    }
    assert wanted <= {requirement.name.lower() for requirement, _ in entries(path)}


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile"])
def test_nothing_is_installed_from_a_file_without_its_checksums(name):
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", "")
    installs = [line for line in text.splitlines() if re.search(r"\bpip install\b", line)]
    assert installs
    by_checksum = "--require-hashes"
    only_this_repository = "--no-deps --no-build-isolation -e ."
    assert [line for line in installs if by_checksum not in line and only_this_repository not in line] == []


def test_each_python_that_airflow_and_this_repository_support_has_one_version_of_each_package():
    for python in PYTHONS:
        environment = {"python_version": str(python), "python_full_version": f"{python}.0"}
        fitting = [
            requirement.name
            for requirement, _ in entries(ROOT / "requirements.txt")
            if requirement.marker is None or requirement.marker.evaluate(environment)
        ]
        assert sorted(set(fitting)) == sorted(fitting)
        assert {"apache-airflow", "setuptools", "psutil", "boto3"} <= set(fitting)
