"""The environment of the tests: the same as that of the local services, with what test runners need."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from local_aws import isolation

# Of pytest and its plugins, of coverage, of continuous integration, and of Spark.
_NAMES = {"HOME", "CI", "JAVA_HOME", "CXX"}
_LEADS = ("AIRFLOW__", "AIRFLOW_HOME", "AWS_", "MODERATION_")
_PREFIXES = ("PYTEST_", "COV_", "COVERAGE_", "GITHUB_")


def allowed(environ: Mapping[str, str]) -> dict[str, str]:
    """What of a person's environment the tests may see."""
    return {
        **isolation.system_environment(environ),
        **isolation.selected(environ, names=_NAMES, prefixes=_PREFIXES),
        **isolation.LOCAL_ONLY,
    }


def leave_outside() -> None:
    """Cut this process off from the shell that started it, and from the files of AWS in its home."""
    folder = Path(tempfile.mkdtemp(prefix="moderation-tests-aws-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    isolation.write_aws_files(folder, access_key="", secret_key="", region="us-east-1")
    (folder / "credentials").write_text("")
    sys.dont_write_bytecode = False  # or each process rewrites each test file anew: half its start
    isolation.replace({**allowed(os.environ), **isolation.aws_files(folder)})


def working_folder() -> Path:
    """An empty folder to work in, which goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="moderation-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def left_by(before: Mapping[str, str]) -> dict[str, str | None]:
    """What has changed in the environment since, None where something is gone; each is put back.

    Only names that lead somewhere else: libraries note there what they have seen of the machine.
    """
    changed = {
        name: os.environ.get(name)
        for name in before.keys() | os.environ.keys()
        if os.environ.get(name) != before.get(name) and name.startswith(_LEADS)
    }
    for name in changed:
        if name in before:
            os.environ[name] = before[name]
        else:
            del os.environ[name]
    return changed
