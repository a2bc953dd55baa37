"""A manifest as the detect backend reads it: leniently, line by line, as a bulk job would."""

from __future__ import annotations

import codecs
import hashlib
import re
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson

from moderation.analyse.detect.errors import ManifestInvalid
from moderation.reference import limits
from moderation.storage import s3_objects

_BUCKET = re.compile(r"[0-9A-Za-z.\-_]{3,255}")
"""S3Bucket in Rekognition's service model."""
_KEY_CHARACTERS = 1_024
"""S3ObjectName in the same model; a call with a longer one would be refused, a job's line must be, too."""

# The codes AWS documents for lines of Custom Labels manifests; those of media analysis are not published.
_BAD_JSON = ("ERROR_INVALID_JSON_LINE", "The line is not valid JSON.")
_NO_REF = ("ERROR_MISSING_SOURCE_REF", "The line has no source-ref.")
_BAD_REF = ("ERROR_INVALID_SOURCE_REF_FORMAT", "The source-ref is not an s3://bucket/key address.")


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank.

    :param number: its place in the file, from 1; blank lines count.
    :param source_ref: as written; None when the line has none that can be read.
    :param problem: code and message when no image can be asked for.
    """

    number: int
    source_ref: str | None
    problem: tuple[str, str] | None = None

    @property
    def image(self) -> dict[str, Any]:
        """The ``Image`` member of a DetectModerationLabels request."""
        bucket, key = s3_objects.split_uri(self.source_ref or "")
        return {"S3Object": {"Bucket": bucket, "Name": key}}


@dataclass(frozen=True)
class ManifestFile:
    """A manifest that was read.

    :param sha256: of its bytes.
    :param lines: those that are not blank, in order; duplicates stand as often as written.
    """

    uri: str
    sha256: str
    lines: tuple[Line, ...]

    @property
    def images(self) -> list[Line]:
        """The lines that name an image."""
        return [line for line in self.lines if line.problem is None]


def read(s3: Any, uri: str) -> ManifestFile:
    """Read a manifest; at most 50 MB are held.

    :raises ManifestInvalid: it is empty, beyond AWS's limits, or names no image; a bulk job fails then too.
    :raises S3Error: it cannot be read.
    """
    content = _content(s3, uri)
    # A byte order mark is no part of the first line, as little as it is for a bulk job.
    rows = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    lines = [_parse(raw, n) for n, raw in enumerate(rows, 1) if raw.strip()]
    if len(lines) > limits.MANIFEST_MAX_LINES:
        raise ManifestInvalid(
            f"{uri} has {len(lines)} lines; at most {limits.MANIFEST_MAX_LINES} are allowed"
        )
    if not any(line.problem is None for line in lines):
        raise ManifestInvalid(f"{uri} names no image; each line must be {{'source-ref': 's3://bucket/key'}}")
    return ManifestFile(uri, hashlib.sha256(content).hexdigest(), tuple(lines))


def _content(s3: Any, uri: str) -> bytes:
    bucket, key = s3_objects.split_uri(uri)
    with s3_objects.named_errors("read", bucket, key):
        answer = s3.get_object(Bucket=bucket, Key=key)
        with closing(answer["Body"]) as body:
            if (size := answer["ContentLength"]) > limits.MANIFEST_MAX_BYTES:
                raise ManifestInvalid(
                    f"{uri} has {size} bytes; at most {limits.MANIFEST_MAX_BYTES} are allowed"
                )
            content: bytes = body.read()
    return content


def _parse(raw: bytes, number: int) -> Line:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return Line(number, None, _BAD_JSON)
    source_ref = document.get("source-ref") if isinstance(document, dict) else None
    if not isinstance(source_ref, str):
        return Line(number, None, _NO_REF)
    bucket, _, key = source_ref.removeprefix("s3://").partition("/")
    names_an_object = _BUCKET.fullmatch(bucket) and 0 < len(key) <= _KEY_CHARACTERS
    if not (source_ref.startswith("s3://") and names_an_object):
        return Line(number, source_ref, _BAD_REF)
    return Line(number, source_ref)
