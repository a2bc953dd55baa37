"""Stray errors of libraries and of the system, named by kind: the last resort of whoever must tell an end.

The room that calls a library names its errors itself, with the file and the remedy. What slips through is
told here, for the retry policy and the command line alike, by the names of the classes: no library is
imported for that. What is not told here is a defect.
"""

from __future__ import annotations

import errno
import re
from typing import Any

from moderation.errors import KINDS, ModerationError, NeedsAPersonError, TransientError
from moderation.reference import error_codes


class LibraryRefusedError(NeedsAPersonError):
    """A library or the system refuses, and would again."""


class LibraryUnavailableError(TransientError):
    """Something that a library needs does not answer."""


_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role"
_SOURCE = "check what gives the credentials, then run again"
_CONFIGURATION = "check the variables AWS_… and AWS's configuration files"
_NETWORK = "check AWS_ENDPOINT_URL and the network, then run again"
_REFUSED, _AWAY = LibraryRefusedError, LibraryUnavailableError

_NAMED: dict[str, tuple[type[ModerationError], str]] = {
    "botocore.exceptions.NoCredentialsError": (_REFUSED, _CREDENTIALS),
    "botocore.exceptions.PartialCredentialsError": (_REFUSED, _CREDENTIALS),
    "botocore.exceptions.NoRegionError": (_REFUSED, "set AWS_REGION"),
    "botocore.exceptions.CredentialRetrievalError": (_AWAY, _SOURCE),
    "botocore.exceptions.ConnectionError": (_AWAY, _NETWORK),
    "botocore.exceptions.HTTPClientError": (_AWAY, _NETWORK),
    "botocore.exceptions.IncompleteReadError": (_AWAY, _NETWORK),
    "botocore.exceptions.BotoCoreError": (_REFUSED, _CONFIGURATION),
    "pyiceberg.exceptions.CommitFailedException": (_AWAY, "others wrote at the same time; run again"),
    "sqlalchemy.exc.OperationalError": (_AWAY, "check the database, then run again"),
    "sqlalchemy.exc.InterfaceError": (_AWAY, "check the database, then run again"),
    "psycopg.OperationalError": (_AWAY, "check the database, then run again"),
    "_duckdb.OutOfMemoryException": (
        _REFUSED,
        "set MODERATION_DUCKDB_MEMORY, or of the console MODERATION_CONSOLE_MEMORY, to 1GB",
    ),
    "builtins.MemoryError": (_REFUSED, "give the process more memory"),
    "builtins.ConnectionError": (_AWAY, "check the network, then run again"),
    "builtins.TimeoutError": (_AWAY, "check the network, then run again"),
    "builtins.BlockingIOError": (_AWAY, "run again"),
}

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_PASSING = frozenset(
    {
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ESTALE,
    }
)
_ARROW_AWS = re.compile(r"AWS Error ([A-Z_]+)")
_ARROW_AWAY = frozenset(
    {
        "NETWORK_CONNECTION",
        "SLOW_DOWN",
        "SERVICE_UNAVAILABLE",
        "INTERNAL_FAILURE",
        "REQUEST_TIMEOUT",
        "THROTTLING",
    }
)


def named(error: BaseException) -> ModerationError | None:
    """The error, if it is of a kind; the one that says what a library's error means; None for a defect.

    A defect of a kind is given as it is.
    """
    if isinstance(error, KINDS):
        return error
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__]
    if "botocore.exceptions.ClientError" in names:
        return _of_aws(error)
    for name in names:
        if found := _NAMED.get(name):
            kind, remedy = found
            return _chained(kind(f"{_text(error)}; {remedy}"), error)
    return _of_the_system(error) if isinstance(error, OSError) else None


def is_disk_full(error: BaseException) -> bool:
    """Whether it is the system's word that a disk, or somebody's share of it, is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def _of_aws(error: Any) -> ModerationError:
    answer = error.response.get("Error", {})
    code = str(answer.get("Code"))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    passes = status >= 500 or error_codes.is_transient(code)
    kind = LibraryUnavailableError if passes else LibraryRefusedError
    return _chained(kind(f"{error.operation_name}: {code}: {answer.get('Message')}"), error)


def _of_the_system(error: OSError) -> ModerationError | None:
    text = _text(error)
    if is_disk_full(error):
        named_error: ModerationError = _REFUSED(f"{text}; make room on that disk, or set TMPDIR to another")
    elif error.errno in _PASSING:
        named_error = _AWAY(f"{text}; run again later")
    elif aws := _ARROW_AWS.search(text):  # Arrow's own S3 client has no classes, and no numbers
        if aws[1] in _ARROW_AWAY:
            named_error = _AWAY(f"{text}; check AWS_ENDPOINT_URL_S3, then run again")
        else:
            named_error = _REFUSED(f"{text}; check the bucket and the caller's rights")
    elif error.errno is not None:
        named_error = _REFUSED(text)
    else:
        return None
    return _chained(named_error, error)


def _text(error: BaseException) -> str:
    """In one line: what DuckDB adds below its own are settings of DuckDB's, which nobody can reach here."""
    text = str(error).strip()
    return (text.splitlines()[0] if "OutOfMemory" in type(error).__name__ else text) or type(error).__name__


def _chained(named_error: ModerationError, cause: BaseException) -> ModerationError:
    named_error.__cause__ = cause
    return named_error
