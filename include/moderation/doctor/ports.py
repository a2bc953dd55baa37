"""The ports that S3, Rekognition and Airflow ask for, and who has them."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from moderation.doctor.finding import Finding, Place, ok, stop, warning
from moderation.variables.local_stack import COMPANION_OF_PORT, DEFAULT_PORTS, SERVICE_OF_PORT

_HOST = "127.0.0.1"
_LISTENS = "0A"
_LOWEST, _HIGHEST = 1024, 55535


def ports(place: Place) -> Iterator[Finding]:
    """Each port: free, taken by this checkout's own services, or by somebody else."""
    own = _own_groups(place)
    for variable, default in DEFAULT_PORTS.items():
        asked = place.variables.get(variable, "").strip()
        if asked and not (asked.isascii() and asked.isdigit() and _LOWEST <= int(asked) <= _HIGHEST):
            yield stop(f"{variable}={asked} is no port", f"use {_LOWEST} to {_HIGHEST}, or unset it")
            continue
        yield _port(variable, int(asked or default), own, was_asked=bool(asked))


def _port(variable: str, port: int, own: set[int], *, was_asked: bool) -> Finding:
    service = SERVICE_OF_PORT[variable]
    companion = COMPANION_OF_PORT.get(variable, 0)
    taken = next((each for each in sorted({port, port + companion}) if not _is_free(each)), None)
    if taken is None:
        return ok(f"{port} is free for {service}")
    holder = _holder(taken)
    if holder is not None and _group(holder) in own:
        return ok(f"{taken} is {service} of this checkout (process {holder})")
    who = f"{_name(holder)} (process {holder})" if holder else "another program"
    found = f"{taken}, for {service}, is taken by {who}"
    free = next(
        (each for each in range(port + 1, _HIGHEST) if _is_free(each) and _is_free(each + companion)), port
    )
    remedy = f"end it, or choose another port: {variable}={free} make up"
    if was_asked:
        return stop(found, remedy)
    return warning(found, f"make run takes a free port by itself; for make up and make services {remedy}")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except (OSError, OverflowError):
            return False
        return True


def _holder(port: int) -> int | None:
    """The process that listens on a port; None if it is another user's, or the system does not tell."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not wanted:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(link) in wanted for link in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue
    return None


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def _name(process: int | None) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a program"


def _group(process: int) -> int | None:
    try:
        return os.getpgid(process)
    except OSError:
        return None


def _own_groups(place: Place) -> set[int]:
    """Process groups of the services that this checkout has started."""
    try:
        registered = json.loads((place.checkout / "var" / "services.json").read_text(encoding="utf-8"))
        return {int(service["pid"]) for service in registered.values()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return set()
