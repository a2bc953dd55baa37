"""A temporary AIRFLOW_HOME, which must be in the environment before airflow is imported anywhere."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# Deprecations that airflow 3.3.2 itself walks into; nothing of ours can avoid them.
WARNINGS_OF_AIRFLOW = (
    "ignore:GitWildMatchPattern:DeprecationWarning",  # .airflowignore, read through an old name of pathspec
    "ignore:Using `httpx` with `starlette.testclient`",  # the execution API inside dag.test()
)
_MARK = "moderation-tests-airflow-"


def prepare() -> Path:
    """
    Point Airflow at a fresh home of this process, once; each xdist worker has its own.

    :raises RuntimeError: if airflow was imported before, with the home of the person running the tests.
    """
    home = os.environ.get("AIRFLOW_HOME", "")
    if Path(home).name.startswith(f"{_MARK}{os.getpid()}-"):
        return Path(home)
    if "airflow.configuration" in sys.modules:
        raise RuntimeError("airflow was imported before its home was set: call prepare() in a conftest.py")
    home = tempfile.mkdtemp(prefix=f"{_MARK}{os.getpid()}-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
        del os.environ[name]
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # A Dag that a test has changed is stored as it is now, however lately another test stored it.
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return Path(home)
