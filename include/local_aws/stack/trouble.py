"""What went wrong with the machine under the stack, in one line with what helps."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from urllib.error import URLError

from local_aws.process import ServiceError
from local_aws.stack.airflow_api import refusal
from local_aws.stack.layout import StackError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NEEDED_BYTES = 64 << 20
"""With less than this a service that ends at its start has most likely ended for it."""


def explain(error: BaseException, *, var: Path) -> str | None:
    """Return one line about an error that a person can mend; None about one that is a fault of the program.

    :param var: the folder that everything is written to.
    """
    if isinstance(error, StackError):
        return str(error)
    if isinstance(error, ServiceError):
        short = shortage(var)
        return f"{error}; {short}" if short else str(error)
    if isinstance(error, URLError):
        return refusal(error)
    if isinstance(error, OSError):
        return _explain_os_error(error, var)
    return None


def shortage(var: Path) -> str | None:
    """Return one line if so little room is left that what runs there fails for it; None otherwise."""
    return _no_space(var) if _free(var) < _NEEDED_BYTES else None


def _explain_os_error(error: OSError, var: Path) -> str:
    where = error.filename if isinstance(error.filename, str | os.PathLike) else None
    if error.errno in _FULL:
        return _no_space(Path(where).parent if where else var)
    named = f"{error.strerror or type(error).__name__}{f': {where}' if where else ''}"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{named}; {var} and all in it must belong to who runs this: chown it, or delete {var}"
    if error.errno == errno.EROFS:
        return f"{named}; run this in a checkout that can be written"
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return f"{named}; allow more with: ulimit -n 4096"
    if isinstance(error, TimeoutError | ConnectionError):
        return f"a service did not answer ({named}); see {var / 'logs'} and run this again"
    return f"{named}; see {var / 'logs'}"


def _no_space(folder: Path) -> str:
    return (
        f"the disk of {folder} is full ({_free(folder) / 1e6:,.0f} MB free): make room, at least 1 GB, "
        "and run this again; what is stored stays"
    )


def _free(folder: Path) -> int:
    for existing in (folder, *folder.parents):
        try:
            return shutil.disk_usage(existing).free
        except OSError:
            continue
    return _NEEDED_BYTES
