"""What the server's process is, before it serves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import local_aws

CODE = "import os, local_aws.rekognition.__main__; print(len(os.listdir('/proc/self/task')))"


def threads(environment: dict[str, str]) -> int:
    """How many there are once everything is loaded."""
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**environment, "PYTHONPATH": str(Path(local_aws.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux lists them")
def test_numpy_starts_no_threads_that_take_the_cores_from_those_that_look() -> None:
    unset = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    assert threads(unset) == threads({**unset, "OPENBLAS_NUM_THREADS": "1"})
