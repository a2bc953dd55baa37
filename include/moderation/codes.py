"""Error codes of image rows: one spelling for each, whether trying again can help, and what to do.

AWS writes the same fault in several ways (``InvalidImageFormatException`` as an exception,
``INVALID_S3_OBJECT`` in a job's FailureDetails, an unpublished code in a manifest summary). Rows carry the
exception's name without its ending. Codes that AWS does not have are this project's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a code says about another attempt."""

    PERMANENT = "permanent"
    """The picture itself is refused: the same bytes under the same name fail for ever."""
    CIRCUMSTANCE = "circumstance"
    """Rights, places or a lost result: not worth a retry at once, worth another run."""
    TRANSIENT = "transient"
    """The service was busy or broken: worth a retry at once."""


@dataclass(frozen=True)
class Code:
    """One error code.

    :param name: as it stands in the tables.
    :param kind: whether another attempt can help.
    :param remedy: what the reader of the row can do.
    """

    name: str
    kind: Kind
    remedy: str


INVALID_IMAGE_FORMAT = "InvalidImageFormat"
IMAGE_TOO_LARGE = "ImageTooLarge"
INVALID_PARAMETER = "InvalidParameter"
INVALID_S3_OBJECT = "InvalidS3Object"
ACCESS_DENIED = "AccessDenied"
THROTTLING = "Throttling"
PROVISIONED_THROUGHPUT_EXCEEDED = "ProvisionedThroughputExceeded"
INTERNAL_SERVER_ERROR = "InternalServerError"
EMPTY_FILE = "EmptyFile"
KEY_TOO_LONG = "KeyTooLong"
INVALID_KEY = "InvalidKey"
UNREADABLE_FILE = "UnreadableFile"
RESULT_MISSING = "ResultMissing"
MALFORMED_RESULT = "MalformedResult"
DUPLICATE_RESULT = "DuplicateResult"
ADAPTER_IGNORED = "AdapterIgnored"

_CODES = {
    code.name: code
    for code in (
        Code(INVALID_IMAGE_FORMAT, Kind.PERMANENT, "Convert the picture to PNG or JPEG, or repair it."),
        Code(IMAGE_TOO_LARGE, Kind.PERMANENT, "Make the file smaller than 15 MB."),
        Code(INVALID_PARAMETER, Kind.PERMANENT, "Scale the picture to 80 to 10,000 pixels a side."),
        Code(EMPTY_FILE, Kind.PERMANENT, "The file has no bytes; upload it again."),
        Code(KEY_TOO_LONG, Kind.PERMANENT, "Shorten the path: S3 keys hold at most 1,024 bytes of UTF-8."),
        Code(INVALID_KEY, Kind.PERMANENT, "Rename the file: its name is not valid UTF-8."),
        Code(
            INVALID_S3_OBJECT, Kind.CIRCUMSTANCE, "Check that the object is there, and its bucket's region."
        ),
        Code(ACCESS_DENIED, Kind.CIRCUMSTANCE, "Grant s3:GetObject on the object (and its KMS key)."),
        Code(UNREADABLE_FILE, Kind.CIRCUMSTANCE, "Make the file readable, then run again."),
        Code(RESULT_MISSING, Kind.CIRCUMSTANCE, "Run again: the job gave neither a result nor an error."),
        Code(MALFORMED_RESULT, Kind.CIRCUMSTANCE, "Run again: the job's line for it could not be read."),
        Code(DUPLICATE_RESULT, Kind.CIRCUMSTANCE, "Run again: the job answered more often than asked."),
        Code(ADAPTER_IGNORED, Kind.CIRCUMSTANCE, "Check the adapter's status: the base model answered."),
        Code(THROTTLING, Kind.TRANSIENT, "Run again, or lower the calls a second."),
        Code(PROVISIONED_THROUGHPUT_EXCEEDED, Kind.TRANSIENT, "Run again, or lower the calls a second."),
        Code(INTERNAL_SERVER_ERROR, Kind.TRANSIENT, "Run again: AWS had a fault of its own."),
    )
}


_UNFINISHED = frozenset({"NotAttempted", "NotStarted", "ConnectionFailed", RESULT_MISSING, MALFORMED_RESULT})
"""Codes of work that was broken off, or whose answer was lost."""


def _squeeze(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower().removesuffix("exception"))


_SPELLINGS = {_squeeze(name): name for name in _CODES} | {
    "throttled": THROTTLING,
    "throttlingerror": THROTTLING,
    "slowdown": THROTTLING,
    "toomanyrequests": THROTTLING,
    "internalerror": INTERNAL_SERVER_ERROR,
    "internalfailure": INTERNAL_SERVER_ERROR,
    "internalserver": INTERNAL_SERVER_ERROR,
    "internalservererror": INTERNAL_SERVER_ERROR,
    "serviceunavailable": INTERNAL_SERVER_ERROR,
    "keytoolongerror": KEY_TOO_LONG,
}


def canonical(code: str) -> str:
    """The one spelling of a code: an exception's name, a FailureDetails code or one of ours.

    A code that nobody has seen yet stays as it is, without surrounding white space.
    """
    return _SPELLINGS.get(_squeeze(code.strip()), code.strip())


def is_permanent(code: str) -> bool:
    """True when the same picture under the same name can never succeed, so the ledger calls it done."""
    known = _CODES.get(canonical(code))
    return known is not None and known.kind is Kind.PERMANENT


def is_transient(code: str) -> bool:
    """True when the call is worth repeating at once, within the wait's bound."""
    known = _CODES.get(canonical(code))
    return known is not None and known.kind is Kind.TRANSIENT


def is_owed(code: str) -> bool:
    """True when the picture failed for a reason that passes by itself: the next run takes it up."""
    return is_transient(code) or canonical(code) in _UNFINISHED


def remedy(code: str) -> str:
    """What the reader of a failed row can do about it, as one sentence."""
    known = _CODES.get(canonical(code))
    return known.remedy if known else "See the error message; run again to retry."


def all_codes() -> tuple[Code, ...]:
    """Every code with a meaning here, for documentation and reports."""
    return tuple(_CODES.values())


PERMANENT_CODES = frozenset(code.name for code in _CODES.values() if code.kind is Kind.PERMANENT)
