"""The compiled library: building it, loading it, and reading the columns that it fills.

It is built once per machine from the C++ beside this file by whatever compiler the system has, is loaded
through ctypes (no Python headers, no wheel, any Python version), and releases the GIL while it works.
Without a compiler, or with ``MODERATION_NATIVE=0``, everything works the same through Python.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from moderation.errors import NeedsAPersonError
from moderation.flatten.native.compiler import find_compiler
from moderation.storage.whole_file import whole_file
from moderation.variables.machine import MachineSettings

_HERE = Path(__file__).parent
_UNITS = ("parse.cpp", "row_columns.cpp")
_SOURCES = (*_UNITS, "columns.hpp", "json.hpp", "text.hpp")
_FLAGS = ("-std=c++17", "-O3", "-DNDEBUG", "-fPIC", "-shared")
_COMPILE_TIMEOUT = 300

_log = logging.getLogger(__name__)


class BuildError(NeedsAPersonError):
    """The library could not be built; the text says why, in one or a few lines."""


class View(ctypes.Structure):
    """One column as `columns::View` in columns.hpp lays it out."""

    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("validity", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("text", ctypes.c_void_p),
        ("validity_bytes", ctypes.c_int64),
        ("values_bytes", ctypes.c_int64),
        ("text_bytes", ctypes.c_int64),
    )


class Owned:
    """Memory behind columns that the library made; every buffer keeps it alive."""

    def __init__(self, free: Callable[[int], None], address: int) -> None:
        self._free = free
        self._address = address

    def __del__(self) -> None:
        self._free(self._address)


def is_enabled() -> bool:
    """False when ``MODERATION_NATIVE=0`` asks for the Python definition.

    :raises SettingsError: the variable is neither 1 nor 0.
    """
    return MachineSettings.from_env().native


def library_paths() -> list[Path]:
    """Where a library of exactly these sources may lie, best place first.

    Beside the sources, else in the user's cache (``XDG_CACHE_HOME``) when the installation is read-only.
    """
    digest = hashlib.sha256(repr(_FLAGS).encode())
    for name in _SOURCES:
        digest.update((_HERE / name).read_bytes())
    machine = os.uname().machine if hasattr(os, "uname") else "unknown"
    file = f"parse-{digest.hexdigest()[:16]}-{sys.platform}-{machine}.so"
    cache = MachineSettings.from_env().cache_dir or Path.home() / ".cache"
    return [_HERE / "build" / file, cache / "rekognition-bulk-moderation" / file]


def build() -> Path:
    """Compile the library unless it is there already.

    Safe to run in several processes at once: the file appears whole, by rename.

    :returns: where it is.
    :raises BuildError: no compiler, it failed, or no place can be written.
    """
    paths = library_paths()
    existing = next((path for path in paths if path.is_file()), None)
    if existing is not None:
        return existing
    compiler = find_compiler()
    if compiler is None:
        raise BuildError("no C++ compiler found (on Debian or Ubuntu: apt install g++; or set CXX)")
    problems = []
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as compiled:
                _compile(compiler, compiled)
            return path
        except OSError as error:
            problems.append(f"{path.parent}: {error.strerror or error}")
    raise BuildError("no folder to put the library in: " + "; ".join(problems))


def _compile(compiler: str, target: Path) -> None:
    import subprocess  # noqa: PLC0415 - needed once a machine

    command = [compiler, *_FLAGS, "-o", str(target), *(str(_HERE / unit) for unit in _UNITS)]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"{compiler} took more than {_COMPILE_TIMEOUT} s") from None
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise BuildError(f"{' '.join(command)} failed ({result.returncode}): " + "\n".join(lines[:5]))


@lru_cache(maxsize=1)
def load() -> ctypes.CDLL | None:
    """The library, built first if need be; None when it cannot be had. Decided once per process."""
    if not is_enabled():
        return None
    try:
        library = ctypes.CDLL(str(build()))
    except (BuildError, OSError, RuntimeError) as error:  # RuntimeError: no home directory
        _log.info("parsing results in Python, several times slower: %s", error)
        return None
    library.moderation_parse.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64)
    library.moderation_parse.restype = ctypes.c_void_p
    library.moderation_columns.argtypes = (ctypes.c_void_p,)
    library.moderation_columns.restype = ctypes.POINTER(View)
    for name in ("moderation_image_columns", "moderation_label_columns"):
        getattr(library, name).argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        getattr(library, name).restype = ctypes.c_void_p
    library.moderation_row_views.argtypes = (ctypes.c_void_p,)
    library.moderation_row_views.restype = ctypes.POINTER(View)
    for name in ("moderation_free", "moderation_free_rows"):
        getattr(library, name).argtypes = (ctypes.c_void_p,)
        getattr(library, name).restype = None
    return library


def to_array(kind: pa.DataType, view: View, owned: Owned) -> pa.Array:
    """The column of a view."""
    buffers = [
        _to_buffer(view.validity, view.validity_bytes, owned) if view.null_count else None,
        _to_buffer(view.values, view.values_bytes, owned),
    ]
    if kind == pa.string():
        buffers.append(_to_buffer(view.text, view.text_bytes, owned))
    return pa.Array.from_buffers(kind, view.length, buffers, view.null_count)


def _to_buffer(address: int | None, size: int, owned: Owned) -> pa.Buffer:
    return pa.foreign_buffer(address, size, owned) if size else pa.py_buffer(b"")
