"""Worker processes of two releases beside each other: this one, and one of the repository's history."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.airflow_home import REPOSITORY

_WORKER = Path(__file__).with_name("release_worker.py")
_WHOLE = ("include", "plugins", "tests")


class Refused(Exception):
    """An order ended in an error; the text names its class."""


def checkout(commit: str, folder: Path) -> Path:
    """The files of a commit; the test is skipped where the history does not reach back so far."""
    found = subprocess.run(
        ["git", "-C", str(REPOSITORY), "archive", commit, *_WHOLE], capture_output=True, check=False
    )
    if found.returncode != 0:
        pytest.skip(f"the history has no {commit} here; git fetch --unshallow brings it")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


class Release:
    """A worker of a release.

    :param code: its checkout.
    :param folder: for its home folder and log.
    """

    def __init__(self, code: Path, folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir()
        self._log = (folder / "log").open("w")
        path = ":".join(str(code / part) for part in _WHOLE)
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER)],
            cwd=folder,
            env={**environment, "PYTHONPATH": path, "AIRFLOW_HOME": str(folder), "HOME": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def begin(self, what: str, **arguments: Any) -> None:
        """Give it an order and go on."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"what": what, "arguments": arguments}) + "\n")
        self._process.stdin.flush()

    def end(self) -> Any:
        """What came of the order.

        :raises Refused: an error.
        """
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, Path(self._log.name).read_text()
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"]) from AssertionError(answer["details"])
        return answer["value"]

    def does(self, what: str, **arguments: Any) -> Any:
        """An order and what came of it."""
        self.begin(what, **arguments)
        return self.end()

    def stage(self, name: str, **arguments: Any) -> Any:
        """A stage of a run."""
        return self.does("stage", name=name, **arguments)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._log.close()
