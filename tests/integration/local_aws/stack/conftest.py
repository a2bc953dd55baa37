"""A checkout of its own for the commands of the stack: the code is linked, what is written is not shared.

Its folder has an odd name, and the shell and the home of who runs the commands are set to another account.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from local_aws import ports

REPOSITORY = Path(__file__).resolve().parents[4]

ELSEWHERE = "http://127.0.0.1:1"
FOREIGN = {
    **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"), ELSEWHERE),
    **dict.fromkeys(("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_REKOGNITION"), ELSEWHERE),
    **dict.fromkeys(("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_DATA_PATH"), "elsewhere"),
    "AWS_CA_BUNDLE": "/nonexistent",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AIRFLOW_HOME": "/nonexistent",
    "AIRFLOW__CORE__EXECUTOR": "NoSuchExecutor",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://elsewhere.example/airflow",
    "AIRFLOW_CONN_AWS_DEFAULT": "aws://elsewhere:secret@",
    "PYTHONSTARTUP": "/nonexistent",
    "MODERATION_TABLES_URI": "s3://elsewhere",
    "WEED_FILER_OPTIONS_BUCKETS_FOLDER": "/elsewhere",
}
FOREIGN_CONFIG = """[default]
ignore_configured_endpoint_urls = true
use_dualstack_endpoint = true
region = eu-west-1
retry_mode = nonsense
credential_process = /bin/false
s3 =
  addressing_style = virtual
  use_accelerate_endpoint = true
"""


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

    def moderation(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """The command of the checkout, in a shell that is told of nothing, or of what is given."""
        told = {"PATH": os.environ["PATH"], "HOME": self.environ["HOME"], **variables}
        return subprocess.run(
            [sys.executable, "-m", "moderation.cli", *words],
            env={**told, "PYTHONPATH": str(self.root / "include")},
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )

    def env_file(self) -> dict[str, str]:
        lines = shlex.split((self.root / ".env").read_text())
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def pid(self, service: str) -> int:
        """Process of a service that runs."""
        return int(json.loads((self.root / "var/services.json").read_text())[service]["pid"])

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
        root = tmp_path_factory.mktemp("it's the $x %20 #1 ü checkout ")
        home = tmp_path_factory.mktemp("home")
        (home / ".aws").mkdir()
        (home / ".aws/config").write_text(FOREIGN_CONFIG)
        for name in ("dags", "plugins", "include", "Makefile"):
            (root / name).symlink_to(REPOSITORY / name)
        keep = ("AIRFLOW", "AWS_", "MODERATION_", "COV_", "PYTEST_")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(keep)}
        environ |= {
            **FOREIGN,
            "HOME": str(home),
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
