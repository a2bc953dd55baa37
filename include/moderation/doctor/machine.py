"""Checks of the machine: Python, compiler, disk, memory, open files, clock, and who owns the checkout."""

from __future__ import annotations

import importlib.util
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from moderation.doctor.finding import Finding, Place, ok, stop, warning
from moderation.flatten.native.compiler import find_compiler
from moderation.variables import local_stack
from moderation.variables.table import SettingsError

_GB, _MB = 10**9, 10**6
OLDEST, NEWEST = (3, 11), (3, 14)
_INSTALLED_BYTES = 1.1 * _GB
_RUN_BYTES = 1.0 * _GB
_FULL_BYTES = 64 * _MB
_STACK_BYTES = 2.5 * _GB
_LEAST_STACK_BYTES = 1.2 * _GB
_OPEN_FILES = 1024
_MACHINES = {"x86_64", "aarch64", "arm64"}
_CLOCK_SECONDS = 120.0
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def python(place: Place) -> Iterator[Finding]:
    """Version and kind of Python, for which there must be wheels."""
    version = platform.python_version()
    found = f"Python {version}, {sys.executable}"
    named = "install one of them and name it: make PYTHON=/path/to/python3.12 run"
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        yield stop(f"{found}; 3.11 to 3.14 is needed", named)
    elif not place.is_installed and importlib.util.find_spec("ensurepip") is None:
        yield stop(f"{found} cannot make virtual environments", f"apt install python3-venv, or {named}")
    else:
        yield ok(found)


def system(place: Place) -> Iterator[Finding]:
    """Operating system and processor."""
    kind, machine = platform.system(), platform.machine()
    found = f"{kind} {platform.release()}, {machine}, {os.cpu_count()} processors"
    if kind not in {"Linux", "Darwin"}:
        yield stop(found, "Linux or macOS is needed; on Windows use WSL")
    elif kind == "Linux" and platform.libc_ver()[0] != "glibc":
        yield stop(
            f"{found}, without glibc", "DuckDB has no package for it: use Debian, Ubuntu, Fedora or the like"
        )
    elif machine not in _MACHINES or sys.maxsize < 2**32:
        yield stop(found, "a 64-bit x86 or ARM system and Python are needed: packages exist for these only")
    else:
        yield ok(found)


def compiler(place: Place) -> Iterator[Finding]:
    """The C++ compiler, which is needed once."""
    try:
        found = find_compiler()
    except SettingsError as error:
        yield stop(str(error), "unset the variable, or correct it")
        return
    if (built := _built()) is not None:
        yield ok(f"not needed: the fast parser is built ({built})")
    elif found is not None:
        yield ok(found)
    else:
        yield warning(
            "no C++ compiler: answers are parsed in Python, the same tables, several times slower",
            "on Debian or Ubuntu: apt install g++; or name one: CXX=/path/to/c++",
        )


def disk(place: Place) -> Iterator[Finding]:
    """Room where it is written to."""
    installed = place.is_installed
    needed = _RUN_BYTES + (0 if installed else _INSTALLED_BYTES)
    least = _FULL_BYTES if installed else _INSTALLED_BYTES + _FULL_BYTES
    for folder, enough, minimum in (
        (place.checkout, needed, least),
        (Path(tempfile.gettempdir()), _RUN_BYTES / 2, _FULL_BYTES),
    ):
        about = os.statvfs(folder)
        free = about.f_bavail * about.f_frsize
        found = f"{free / _GB:,.1f} GB free in {folder}"
        room = f"make room, at least {enough / _GB:.1f} GB" + (
            "" if folder == place.checkout else ", or name another folder: TMPDIR=/path"
        )
        if about.f_flag & os.ST_RDONLY or not os.access(folder, os.W_OK | os.X_OK):
            yield stop(
                f"{folder} cannot be written",
                "use a checkout and a TMPDIR of your own, on a disk that can be",
            )
        elif about.f_files and about.f_favail < 1_000:
            yield stop(f"{folder} has no room for more files (inodes)", "delete small files on this disk")
        elif free < minimum:
            yield stop(found, room)
        else:
            yield ok(found) if free >= enough else warning(found, room)


def memory(place: Place) -> Iterator[Finding]:
    """What S3, Rekognition with its model, and Airflow may take."""
    available = _available_bytes()
    if available is None:
        yield ok("not known on this system; the stack takes 1.4 GB idle, 2.5 GB in a run")
        return
    found = f"{available / _GB:.1f} GB free"
    remedy = "end other programs, or give this machine more: the stack takes 1.4 GB idle, 2.5 in a run"
    if available < _LEAST_STACK_BYTES:
        yield stop(found, remedy)
    else:
        yield ok(found) if available >= _STACK_BYTES else warning(found, remedy)


def open_files(place: Place) -> Iterator[Finding]:
    """How many files a process may have open."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = allowed == resource.RLIM_INFINITY
    if unlimited or allowed >= _OPEN_FILES:
        yield ok("as many open files as wanted" if unlimited else f"{allowed:,} open files a process")
    else:
        may = most == resource.RLIM_INFINITY or most >= _OPEN_FILES
        yield warning(
            f"{allowed:,} open files a process",
            f"ulimit -n {4096 if most == resource.RLIM_INFINITY else min(4096, most)}"
            if may
            else "ask who runs this machine for 1,024 or more",
        )


def clock(place: Place) -> Iterator[Finding]:
    """The time of day: signatures and certificates are refused by a wrong clock."""
    remedy = "set the clock, on Linux: timedatectl set-ntp true"
    now = time.time()
    newest = max(path.stat().st_mtime for path in (Path(__file__), place.checkout))
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if newest > now + _CLOCK_SECONDS:
        yield stop(f"{shown}, earlier than the files of this checkout", remedy)
    elif _is_adjusted() is False:
        yield warning(f"{shown}, and nothing keeps it right", remedy)
    else:
        yield ok(shown)


def checkout(place: Place) -> Iterator[Finding]:
    """Name and owner of what is written."""
    wrong = local_stack.unusable_in_a_name(str(place.checkout))
    if wrong:
        yield stop(f"the folder {place.checkout} has {wrong!r} in its name", "move the checkout")
        return
    var = place.checkout / "var"
    others = [path for path in (var, *_some_of(var)) if path.exists() and path.lstat().st_uid != os.geteuid()]
    if others:
        yield stop(
            f"{others[0]} belongs to another user, as after sudo make",
            f"sudo chown -R $(id -un) {local_stack.quoted(var)}",
        )
    else:
        state = "nothing was run yet" if not var.exists() else "var/ is yours"
        yield ok(f"{place.checkout}, {state}")


def _built() -> Path | None:
    """The fast parser, if it is built; where nothing is installed it is not."""
    try:
        from moderation.flatten.native import library  # noqa: PLC0415 - needs pyarrow
    except ImportError:
        return None
    return next((path for path in library.library_paths() if path.exists()), None)


def _some_of(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())[:200] if os.access(folder, os.R_OK | os.X_OK) else []


def _available_bytes() -> float | None:
    """Memory that can be had: what is free or can be freed, and no more than a container may take."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        values = {
            name: float(value.split()[0]) * 1024 for name, _, value in (line.partition(":") for line in lines)
        }
        available = values["MemAvailable"]
    except (OSError, ValueError, KeyError, IndexError):
        return None
    try:
        return min(available, float(_CGROUP.read_text(encoding="ascii")))
    except (OSError, ValueError):  # no container, or one without a limit
        return available


def _is_adjusted() -> bool | None:
    """Whether something keeps the clock right; None when nobody can be asked."""
    program = shutil.which("timedatectl")
    if program is None:
        return None
    try:
        told = subprocess.run(
            [program, "show", "--property=NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=3,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return {"yes": True, "no": False}.get(told)
