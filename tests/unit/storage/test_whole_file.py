"""A file is there whole or not at all, whoever looks and however its writer ends."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from moderation.storage.whole_file import is_unfinished, whole_file, write_whole

_DIES_HALFWAY = """
import os, sys
from pathlib import Path
from moderation.storage.whole_file import whole_file
with whole_file(Path(sys.argv[1])) as unfinished:
    unfinished.write_bytes(b"half")
    os._exit(9)
"""


def test_nothing_is_to_be_seen_before_the_end_of_the_block(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    with whole_file(target) as unfinished:
        unfinished.write_bytes(b"half")
        assert not target.exists()
        unfinished.write_bytes(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert target.read_bytes() == b"whole"


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    write_whole(target, b"old")
    with suppress(ZeroDivisionError), whole_file(target) as unfinished:
        unfinished.write_bytes(b"half")
        raise ZeroDivisionError
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_what_a_killed_process_leaves_is_told_by_its_name(tmp_path: Path) -> None:
    target = tmp_path / "a.parquet"
    write_whole(target, b"old")
    assert subprocess.run([sys.executable, "-c", _DIES_HALFWAY, str(target)], check=False).returncode == 9
    assert target.read_bytes() == b"old"
    assert [is_unfinished(path.name) for path in sorted(tmp_path.iterdir())] == [True, False]
    assert not is_unfinished(".hidden.tmp")


def test_a_folder_that_is_not_there_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "a", b"")


@pytest.mark.parametrize(("mode", "expected"), [(None, 0o640), (0o644, 0o644), (0o600, 0o600)])
def test_permissions_are_the_usual_ones_or_those_asked_for(
    tmp_path: Path, mode: int | None, expected: int
) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", b"x", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == expected


def test_threads_that_write_the_same_file_leave_one_of_their_texts(tmp_path: Path) -> None:
    target = tmp_path / "a"
    texts = [bytes([letter]) * 100_000 for letter in b"abcd"]
    threads = [threading.Thread(target=write_whole, args=(target, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() in texts
    assert len(list(tmp_path.iterdir())) == 1
