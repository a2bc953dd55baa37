"""Starting, watching and stopping a server process together with all its children."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from local_aws import private_files

_TELLING = re.compile(r"^panic:|^F\d{4} |[Ff]atal|no space left|address already in use|^\w*(Error|Exit)\b")
_LINE_LENGTH = 300


class ServiceError(RuntimeError):
    """A local service could not be started or ended before it was ready; the text names its log."""


@dataclass(frozen=True)
class ServiceProcess:
    """A running server in a process group of its own.

    :param name: what people call it, for messages.
    :param popen: the group's leader.
    :param log_path: where its standard output and error go.
    :param log_start: bytes of the log that are of earlier starts.
    """

    name: str
    popen: subprocess.Popen[bytes]
    log_path: Path
    log_start: int = 0

    @property
    def pid(self) -> int:
        """Process id of the leader, which is the id of the group too."""
        return self.popen.pid

    def wait_until(self, ready: Callable[[], bool], *, timeout: float) -> None:
        """Poll ``ready`` until it answers true.

        :param timeout: wall-clock bound in seconds.
        :raises ServiceError: the process ended, or the bound passed.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            if self.popen.poll() is not None:
                raise ServiceError(f"{self.name} ended with code {self.popen.returncode}: {self._log_tail()}")
            if time.monotonic() > deadline:
                raise ServiceError(f"{self.name} was not ready after {timeout:.0f} s: {self._log_tail()}")
            time.sleep(0.05)

    def stop(self, *, grace: float = 10.0) -> None:
        """End the whole process group: SIGTERM, then SIGKILL after ``grace`` seconds."""
        stop_group(self.pid, grace=grace, reap=self.popen.poll)

    def _log_tail(self) -> str:
        """The line of the log that tells most, and where the others are."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(self.log_start)
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            lines = []
        said = [line.strip() for line in lines if line.strip()]
        telling = next((line for line in said if _TELLING.search(line)), said[-1] if said else "")
        return f"{telling[:_LINE_LENGTH]}{'; ' if telling else ''}see {self.log_path}"


def start(
    name: str,
    command: Sequence[str],
    *,
    log_path: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> ServiceProcess:
    """Start ``command`` in a new session with its output appended to ``log_path``.

    What it writes, its log included, is for this user alone.

    :param env: its whole environment; that of this process when None.
    :raises ServiceError: the program does not exist or cannot be run.
    :raises OSError: the log cannot be written.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(log_path, "ab", opener=private_files.opener) as log:
        earlier = log.tell()
        try:
            popen = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
                umask=private_files.UMASK,
            )
        except OSError as error:
            raise ServiceError(f"{name} could not be started ({command[0]}): {error}") from error
    return ServiceProcess(name, popen, log_path, earlier)


def group_alive(group: int) -> bool:
    """Whether any process of the group still runs (a zombie that nobody reaped counts as running)."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def stop_group(group: int, *, grace: float = 10.0, reap: Callable[[], object] = lambda: None) -> None:
    """Send SIGTERM to a process group and SIGKILL to what is left after ``grace`` seconds.

    Children that have left the group, as a task of Airflow does, get SIGKILL once the group is gone: who
    watched over them no longer does.

    :param reap: called while waiting, so that a child of this process does not stay a zombie.
    """
    outside = _children_elsewhere(group)
    _end_group(group, grace, reap)
    for process in outside:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(outside, timeout=5.0)


def members(group: int) -> list[psutil.Process]:
    """The living processes of a group."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _children_elsewhere(group: int) -> list[psutil.Process]:
    inside = members(group)
    children = set()
    for process in inside:
        with contextlib.suppress(psutil.Error):
            children.update(process.children(recursive=True))
    return list(children - set(inside))


def _end_group(group: int, grace: float, reap: Callable[[], object]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline:
        reap()
        if not group_alive(group):
            return
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    for _ in range(100):
        reap()
        if not group_alive(group):
            return
        time.sleep(0.05)
