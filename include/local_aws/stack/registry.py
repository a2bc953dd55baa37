"""What the stack has started, on disk, so that another command can find it and end it, and nothing else.

A process is known by its id together with its start time: an id that the kernel gave to somebody else is
never signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from local_aws import private_files, process
from local_aws.seaweedfs import SeaweedFS, remove_leavings

KEPT = "kept"
"""Owner of services that stay until `make down`."""


@dataclass(frozen=True)
class Entry:
    """One started service.

    :param owner: KEPT, or ``run:<pid>:<start time>`` of the command that will stop it.
    :param facts: what a later command needs to use it (endpoint, admin token …), and in ``leaves`` files that
        it does not remove when it is killed.
    """

    name: str
    pid: int
    started: float
    owner: str
    facts: dict[str, Any] = field(default_factory=dict)

    def alive(self) -> bool:
        """Whether the very process that was registered still runs."""
        return _start_time(self.pid) == self.started


class Registry:
    """The services of one checkout, in a JSON file replaced atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self) -> dict[str, Entry]:
        """Return what is registered and alive, by name."""
        return {name: entry for name, entry in self._read().items() if entry.alive()}

    def lost(self) -> dict[str, Entry]:
        """Return what has ended without being stopped, by name, as long as something else still runs.

        What runs goes on to look for it where it was.
        """
        known = self._read()
        lost = {name: entry for name, entry in known.items() if not entry.alive()}
        return lost if len(lost) < len(known) else {}

    def add(self, name: str, pid: int, *, owner: str, facts: dict[str, Any] | None = None) -> Entry:
        """Register a process that was just started.

        :raises process.ServiceError: it has ended already.
        :raises OSError: that cannot be written down; the process is stopped.
        """
        started = _start_time(pid)
        if started is None:
            raise process.ServiceError(f"{name} ended right after its start")
        entry = Entry(name, pid, started, owner, facts or {})
        try:
            self._write({**self.lost(), **self.entries(), name: entry})
        except OSError:
            _stop_entry(entry, grace=5.0)  # nobody would find it again
            raise
        return entry

    def hand_over(self, *names: str, owner: str = KEPT) -> list[str]:
        """Let other commands stop these services from now on; returns those that had another owner.

        :param names: all that run when none is given.
        """
        known = self._read()
        given = [
            name
            for name, entry in self.entries().items()
            if (name in names or not names) and entry.owner != owner
        ]
        if given:
            self._write({**known, **{name: replace(known[name], owner=owner) for name in given}})
        return given

    def give_back(self, before: Mapping[str, Entry]) -> None:
        """Let what ran before, and still runs, be stopped by whom it was; what that one left is stopped.

        :param before: `entries` before `hand_over`.
        """
        now = self.entries()
        given = {
            name: replace(now[name], owner=entry.owner)
            for name, entry in before.items()
            if name in now and now[name].pid == entry.pid
        }
        self._write({**self._read(), **given})
        self.stop_orphans()

    def stop(self, *, owner: str | None = None, spare: Container[str] = (), grace: float = 10.0) -> list[str]:
        """Stop the registered services: all at once, but S3 after everything that may still write to it.

        :param owner: only those of this owner; all when None.
        :param spare: names of those that stay.
        :param grace: seconds between SIGTERM and SIGKILL.
        :return: names of what was stopped.
        """
        self.stop_remnants()
        chosen = [
            entry
            for name, entry in self.entries().items()
            if (owner is None or entry.owner == owner) and name not in spare
        ]
        users = [entry for entry in chosen if entry.name != "s3"]
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(partial(_stop_entry, grace=grace), users))
        for entry in chosen:
            if entry.name == "s3":
                _stop_entry(entry, grace=SeaweedFS.STOP_GRACE_SECONDS)
        stopped = [entry.name for entry in chosen]
        left = {name: entry for name, entry in self.lost().items() if name not in stopped}
        with contextlib.suppress(OSError):  # on a full disk they stay written down, as what has ended
            self._write({**left, **self.entries()})
        return stopped

    def stop_orphans(self) -> list[str]:
        """Stop what a command that was killed has left behind."""
        orphaned = {
            entry.owner
            for entry in self.entries().values()
            if entry.owner != KEPT and not _owner_alive(entry.owner)
        }
        return [name for owner in orphaned for name in self.stop(owner=owner)]

    def stop_remnants(self) -> list[str]:
        """Stop what is left of services whose first process was killed.

        Its children know nothing of it: the workers of a killed scheduler would wait for work for ever.
        """
        dead = [entry for entry in self._read().values() if not entry.alive()]
        for entry in dead:
            _clean_up(entry)
        left = [entry for entry in dead if self._has_remnants(entry)]
        for entry in left:
            _stop_entry(entry, grace=5.0)
        return [entry.name for entry in left]

    def _has_remnants(self, entry: Entry) -> bool:
        """Whether its group lives on; one that works in another folder has merely got the same id."""
        if _start_time(entry.pid) is not None:
            return False
        here = self._path.parent.resolve()
        for process_left in process.members(entry.pid):
            with contextlib.suppress(psutil.Error, OSError):
                if Path(process_left.cwd()).is_relative_to(here):
                    return True
        return False

    def _read(self) -> dict[str, Entry]:
        try:
            raw = json.loads(self._path.read_text())
            return {name: Entry(**entry) for name, entry in raw.items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return {}

    def _write(self, entries: dict[str, Entry]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        private_files.write(self._path, json.dumps({name: asdict(entry) for name, entry in entries.items()}))


def owner_of_this_process() -> str:
    """Return the owner mark of a command that stops its services before it ends."""
    return f"run:{os.getpid()}:{_start_time(os.getpid())}"


def _owner_alive(owner: str) -> bool:
    _, pid, started = owner.split(":")
    return str(_start_time(int(pid))) == started


def _start_time(pid: int) -> float | None:
    try:
        found = psutil.Process(pid)
        return None if found.status() == psutil.STATUS_ZOMBIE else found.create_time()
    except psutil.Error:
        return None


def _stop_entry(entry: Entry, *, grace: float) -> None:
    process.stop_group(entry.pid, grace=grace, reap=partial(_reap, entry.pid))
    _clean_up(entry)


def _clean_up(entry: Entry) -> None:
    remove_leavings(tuple(Path(path) for path in entry.facts.get("leaves", ())))


def _reap(pid: int) -> None:
    """Collect the exit code when the process is a child of this one; otherwise init does."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
