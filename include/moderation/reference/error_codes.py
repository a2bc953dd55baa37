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
    :param meaning: what happened, as one sentence.
    :param remedy: what the reader of the row can do.
    """

    name: str
    kind: Kind
    meaning: str
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

NOT_ATTEMPTED = "NotAttempted"
NOT_STARTED = "NotStarted"
SAME_CONTENT_OWED = "SameContentOwed"
CONNECTION_FAILED = "ConnectionFailed"

_P, _C, _T = Kind.PERMANENT, Kind.CIRCUMSTANCE, Kind.TRANSIENT
_SLOW_DOWN = "Run again, or lower the calls a second."
_RUN_AGAIN = "Run the source again, or redo the load."
_TABLE = (
    # Of the picture.
    (INVALID_IMAGE_FORMAT, _P, "It is no whole PNG or JPEG.", "Convert it to PNG or JPEG, or repair it."),
    (IMAGE_TOO_LARGE, _P, "The file has more than 15 MB.", "Make the file smaller than 15 MB."),
    (INVALID_PARAMETER, _P, "A side is too short or too long.", "Scale it to 80 to 10,000 pixels a side."),
    (EMPTY_FILE, _P, "The file has no bytes.", "Upload the file again."),
    (KEY_TOO_LONG, _P, "The name is too long for S3.", "Shorten it to 1,024 bytes of UTF-8."),
    (INVALID_KEY, _P, "The name is not valid UTF-8.", "Rename the file."),
    # Of rights and places.
    (INVALID_S3_OBJECT, _C, "S3 did not give it.", "Check that it is there, and its bucket's region."),
    (ACCESS_DENIED, _C, "The caller may not read it.", "Grant s3:GetObject on it (and on its KMS key)."),
    (UNREADABLE_FILE, _C, "The file could not be read.", "Make the file readable, then run again."),
    # Of answers.
    (RESULT_MISSING, _C, "The job gave neither a result nor an error.", _RUN_AGAIN),
    (MALFORMED_RESULT, _C, "The job's line for it could not be read.", _RUN_AGAIN),
    (DUPLICATE_RESULT, _C, "The job answered more often than asked.", _RUN_AGAIN),
    (ADAPTER_IGNORED, _C, "The base model answered.", "Check the adapter's status, then run again."),
    # Of work that was not done.
    (NOT_ATTEMPTED, _C, "The run's time was up.", "Run again: what is answered is not paid again."),
    (NOT_STARTED, _C, "Its manifest has no job.", "See the log of the analyse task; bulk may be closed."),
    (SAME_CONTENT_OWED, _C, "The image sent for its content has no answer.", _RUN_AGAIN),
    (CONNECTION_FAILED, _T, "No call got an answer.", "Check network and endpoint, then run again."),
    # Of a whole job.
    ("InvalidManifest", _C, "AWS could not use it.", "Clear the run from the task discover on."),
    ("InvalidOutputConfig", _C, "The job could not write.", "Check the work bucket: its region, its policy."),
    ("InvalidKMSKey", _C, "The key is not usable.", "Grant kms:GenerateDataKey and kms:Decrypt on it."),
    ("ResourceNotFound", _C, "The adapter is not there.", "Check the ARN of the adapter, then run again."),
    ("ResourceNotReady", _C, "The adapter is not trained or expired.", "Train it again, or run without it."),
    ("LimitExceeded", _T, "Too many jobs were open.", "Run again when other jobs have ended."),
    ("IdempotentParameterMismatch", _C, "The token was used for another job.", "Run again with force."),
    ("HumanLoopQuotaExceeded", _C, "The quota of human reviews is used up.", "Run again later."),
    # Of the service.
    (THROTTLING, _T, "Too many calls a second.", _SLOW_DOWN),
    (PROVISIONED_THROUGHPUT_EXCEEDED, _T, "More calls a second than the quota.", _SLOW_DOWN),
    (INTERNAL_SERVER_ERROR, _T, "AWS had a fault of its own.", _RUN_AGAIN),
    ("RequestTimeout", _T, "The call took too long on its way.", _RUN_AGAIN),
    ("RequestExpired", _T, "The call's signature is old.", "Set the worker's clock, then run again."),
    ("Validation", _C, "AWS refuses the call.", "See the error message; check the image's name."),
)
_CODES = {name: Code(name, kind, meaning, remedy) for name, kind, meaning, remedy in _TABLE}

_UNFINISHED = frozenset(
    {NOT_ATTEMPTED, NOT_STARTED, SAME_CONTENT_OWED, CONNECTION_FAILED, RESULT_MISSING, MALFORMED_RESULT}
)
"""Codes of work that was broken off, or whose answer was lost."""


def _squeeze(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower().removesuffix("exception"))


_SPELLINGS = {_squeeze(name): name for name in _CODES} | {
    "throttled": THROTTLING,
    "throttlingerror": THROTTLING,
    "requestthrottled": THROTTLING,
    "requestlimitexceeded": THROTTLING,
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

OF_CONTENT = PERMANENT_CODES - {KEY_TOO_LONG, INVALID_KEY}
"""Codes of what every image of the same content is refused for, whatever its name."""
