"""A checkout of its own for the commands of the stack: the code is linked, what is written is not shared."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from local_aws import ports

REPOSITORY = Path(__file__).resolve().parents[4]


@dataclass(frozen=True)
class Checkout:
    """A folder that the commands take for a checkout."""

    root: Path
    environ: dict[str, str]

    def start(self, command: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "local_aws.stack", command, str(self.root)],
            env={**self.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        with self.start(command, **variables) as process:
            out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess([command], process.returncode, out, err)

    def env_file(self) -> dict[str, str]:
        lines = (self.root / ".env").read_text().splitlines()
        return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}

    def left_running(self) -> list[str]:
        """Processes whose command line or working folder is of this checkout."""
        found = []
        for process in psutil.process_iter():
            try:
                about = [*process.cmdline(), process.cwd()]
            except psutil.Error:
                continue
            if any(str(self.root) in text for text in about):
                found.append(" ".join(about))
        return found


@pytest.fixture
def make_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Checkout]]:
    made = []

    def make() -> Checkout:
        root = tmp_path_factory.mktemp("checkout")
        for folder in ("dags", "plugins", "include"):
            (root / folder).symlink_to(REPOSITORY / folder)
        keep = ("AIRFLOW", "AWS_", "MODERATION_", "COV_", "PYTEST_")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(keep)}
        environ |= {
            "PYTHONPATH": f"{REPOSITORY / 'include'}",
            "S3_PORT": str(ports.find_free(companion_offset=10_000)),
            "REKOGNITION_PORT": str(ports.find_free()),
            "AIRFLOW_PORT": str(ports.find_free()),
        }
        made.append(Checkout(root, environ))
        return made[-1]

    yield make
    for checkout in made:
        checkout.run("down")


@pytest.fixture
def checkout(make_checkout: Callable[[], Checkout]) -> Checkout:
    return make_checkout()
