"""The manifest summary that a job leaves beside its results: which images it gave an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from moderation.reference import error_codes


@dataclass(frozen=True, kw_only=True)
class SummaryError:
    """One entry of the summary's ``errors``.

    :param line_number: ``line-numer`` (as AWS prints it) or ``line-number``; the base is published nowhere.
    :param source_ref: the image, which the service may leave out.
    :param code: in the spelling of `reference.error_codes`; MalformedResult when the entry names none.
    """

    line_number: int | None
    source_ref: str | None
    code: str
    message: str | None


@dataclass(frozen=True, kw_only=True)
class ManifestSummary:
    """A manifest summary.

    :param errors: in the order of the file.
    :param fault: why the file, or a part of it, could not be read; None when all of it could.
    """

    errors: tuple[SummaryError, ...] = ()
    fault: str | None = None


def parse_summary(data: bytes) -> ManifestSummary:
    """Read a manifest summary; what cannot be read is reported in ``fault`` and never raised.

    Statistics are not read: they count lines, and only images count here.
    """
    try:
        document = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        return ManifestSummary(fault=f"not JSON: {error}")
    if not isinstance(document, dict):
        return ManifestSummary(fault="not a JSON object")
    entries = document.get("errors")
    if entries is None:
        return ManifestSummary()
    if not isinstance(entries, list):
        return ManifestSummary(fault="errors is not a list")
    readable = [entry for entry in entries if isinstance(entry, dict)]
    unreadable = len(entries) - len(readable)
    return ManifestSummary(
        errors=tuple(_summary_error(entry) for entry in readable),
        fault=f"{unreadable} entries of errors are no objects" if unreadable else None,
    )


def _summary_error(entry: dict[str, Any]) -> SummaryError:
    code = _text(entry.get("code"))
    return SummaryError(
        line_number=_whole(entry.get("line-numer", entry.get("line-number"))),
        source_ref=_text(entry.get("source-ref")),
        code=error_codes.canonical(code) if code else error_codes.MALFORMED_RESULT,
        message=_text(entry.get("message")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return value if type(value) is int and abs(value) < 2**63 else None
