"""Folders for files on their way: a killed process's is removed by the next, a living one's never."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from moderation.storage import scratch

LOAD = "20261122T020000Z-4f1c0a9b77de"
_HOLD = """
import sys
from pathlib import Path
from moderation.storage import scratch
with scratch.folder(Path(sys.argv[1]), sys.argv[2]) as path:
    (path / "half").write_bytes(b"x")
    print(path, flush=True)
    sys.stdin.read()
"""


def holder(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that works in a folder until it is killed or its input ends, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(parent), LOAD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_the_folder_is_there_during_the_block_and_gone_after_it(tmp_path: Path) -> None:
    with scratch.folder(tmp_path / "new", LOAD) as path:
        (path / "file").touch()
        assert path.name.startswith(f"moderation-{LOAD}-")
        assert path.stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "new").iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    process, left = holder(tmp_path)
    with process:
        assert (left / "half").exists()
        process.kill()
        process.wait()
        assert (left / "half").exists()
        with scratch.folder(tmp_path, "compact"):
            assert not left.exists()


def test_the_folder_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    process, theirs = holder(tmp_path)
    with process:
        assert scratch.remove_dead(tmp_path) == []
        assert (theirs / "half").exists()
        process.communicate("")
    assert not theirs.exists()


@pytest.mark.parametrize("name", ["something-else", "loads-abcdefgh", LOAD, "moderation-report-abcdefgh"])
def test_what_others_keep_in_the_same_place_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert scratch.remove_dead(tmp_path) == []
    assert (tmp_path / name).exists()


def test_a_link_that_looks_like_a_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / f"moderation-{LOAD}-abcdefgh").symlink_to(tmp_path / "precious")
    assert scratch.remove_dead(tmp_path) == []
    assert (tmp_path / "precious").exists()


def test_many_at_once_never_take_each_others_folder(tmp_path: Path) -> None:
    lost: list[Path] = []

    def work() -> None:
        for _ in range(30):
            with scratch.folder(tmp_path, LOAD) as path:
                (path / "file").write_bytes(b"x")
                if not (path / "file").exists():
                    lost.append(path)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert list(tmp_path.iterdir()) == []
