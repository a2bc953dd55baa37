"""One command at a time: a lock that ends with the process that holds it, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import psutil

from local_aws import private_files
from local_aws.stack.layout import StackError

RUN_BUSY = "another make run is in progress here (process {pid}); wait for it, or use a second checkout"
SERVICES_BUSY = (
    "another make command is starting or stopping services here (process {pid}); "
    "run this again when it is done"
)


@contextlib.contextmanager
def only_one(path: Path, *, busy: str, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock on a file for the length of the block. The file stays; what it says matters to nobody.

    :param busy: what to tell a person when somebody else holds it; ``{pid}`` becomes the holder's process id.
    :param wait: seconds to wait for it.
    :raises StackError: somebody else holds it.
    :raises OSError: the file cannot be made.
    """
    private_files.folder(path.parent)
    with open(path, "a+", opener=private_files.opener) as handle:
        deadline = time.monotonic() + wait
        while not _taken(handle.fileno()):
            if time.monotonic() >= deadline:
                raise StackError(busy.format(pid=_holder(handle)))
            time.sleep(0.1)
        handle.truncate(0)
        handle.write(str(os.getpid()))
        with contextlib.suppress(OSError):  # a full disk must not keep a command from stopping what runs
            handle.flush()
        yield


def _holder(handle: TextIO) -> str:
    """The process that holds the lock. Who has just got it has yet to write itself down."""
    pid = ""
    for _ in range(20):
        handle.seek(0)
        pid = handle.read().strip()
        if pid.isdecimal() and psutil.pid_exists(int(pid)):
            return pid
        time.sleep(0.05)
    return pid or "unknown"


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
