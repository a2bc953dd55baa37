"""Ten times the lines take at most a fifth more memory; each size in a process of its own.

`benchmarks/memory.py` measures all stages, at a million lines.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support import memory_stages

MOST = 1.2


def peak_megabytes(stage, lines, folder):
    command = [sys.executable, "-m", memory_stages.__name__, stage, str(lines), str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, timeout=300, env=environment
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("stage", "lines"), [("listing", 100_000), pytest.param("tables", 400_000, marks=pytest.mark.long)]
)
def test_ten_times_the_lines_take_at_most_a_fifth_more_memory(tmp_path, stage, lines):
    peaks = []
    # Twice the small one: on a busy machine its threads meet later, and it comes to less than it may.
    for number, count in enumerate((lines, lines, 10 * lines)):
        folder = tmp_path / str(number)
        folder.mkdir()
        peaks.append(peak_megabytes(stage, count, folder))

    *small, large = peaks
    assert large <= MOST * max(small), f"{small}, {large} MB for {lines:,} lines and ten times as many"
