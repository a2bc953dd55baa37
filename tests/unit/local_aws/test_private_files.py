from __future__ import annotations

import os
import resource
import signal

import pytest

from local_aws import private_files


def mode(path):
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("before", [None, 0o644])
def test_what_is_written_is_for_the_owner_alone_whatever_was_there(tmp_path, before):
    path = tmp_path / "secret"
    if before:
        path.write_text("old")
        path.chmod(before)

    private_files.write(path, "new")

    assert (path.read_text(), mode(path)) == ("new", 0o600)


def test_a_folder_that_was_open_is_closed(tmp_path):
    folder = tmp_path / "var"
    folder.mkdir(mode=0o755)

    private_files.folder(folder)
    private_files.folder(tmp_path / "new" / "below")

    assert mode(folder) == mode(tmp_path / "new" / "below") == 0o700


def test_a_write_that_does_not_fit_leaves_the_old_file_and_nothing_else(tmp_path):
    path = private_files.write(tmp_path / "registry.json", "old")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            private_files.write(path, "x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["registry.json"]


def test_what_a_killed_process_of_the_same_id_left_is_no_obstacle(tmp_path):
    (tmp_path / f".x.{os.getpid()}").write_text("half")

    private_files.write(tmp_path / "x", "whole")

    assert os.listdir(tmp_path) == ["x"]
