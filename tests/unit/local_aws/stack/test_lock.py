from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_aws.stack.layout import StackError
from local_aws.stack.lock import SERVICES_BUSY, only_one

HOLD = (
    "import signal, sys; from pathlib import Path; from local_aws.stack.lock import only_one\n"
    "with only_one(Path(sys.argv[1]), busy=''):\n    print('held', flush=True); signal.pause()"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "var" / "services.lock"


@pytest.fixture
def holder(path):
    environ = {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", HOLD, path], env=environ, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_command_is_refused_in_one_line_that_names_the_first(path, holder):
    with pytest.raises(StackError) as refused, only_one(path, busy=SERVICES_BUSY):
        pass

    assert f"process {holder.pid}" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "999999999"], ids=["nothing yet", "what ended before"])
def test_a_command_that_has_just_begun_is_named_too(path, monkeypatch, text):
    path.parent.mkdir()
    path.write_text(text)
    with path.open("a+") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        monkeypatch.setattr("local_aws.stack.lock.time.sleep", lambda _: path.write_text(str(os.getpid())))

        with pytest.raises(StackError, match=f"process {os.getpid()}"), only_one(path, busy=SERVICES_BUSY):
            pass


def test_the_lock_of_a_killed_command_is_free_though_its_file_is_there(path, holder):
    holder.kill()
    holder.wait()

    with only_one(path, busy=SERVICES_BUSY):
        assert path.exists()


def test_who_may_wait_gets_the_lock_when_it_is_free(path, holder):
    holder.terminate()

    with only_one(path, busy=SERVICES_BUSY, wait=30):
        assert Path(path).stat().st_mode & 0o777 == 0o600


def test_a_lock_that_was_held_is_free_afterwards(path):
    for _ in range(2):
        with only_one(path, busy=SERVICES_BUSY):
            pass
