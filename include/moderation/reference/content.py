"""When two objects are the same content: the one rule for the whole product."""

from __future__ import annotations

import re

_DIGEST = re.compile(r"[0-9a-f]{32}")

SQL = "CASE WHEN regexp_full_match(etag, '[0-9a-f]{32}') THEN etag || '-' || size_bytes END"
"""The same rule for DuckDB, over the columns ``etag`` and ``size_bytes`` of `images`."""


def content_id(etag: str | None, size: int | None) -> str | None:
    """Name of a content, the same for every key that holds it; None where nothing proves that.

    S3's ETag is the MD5 of the bytes for an object that was put in one request. That of a multipart upload
    (``…-12``) depends on how it was cut. With SSE-KMS or SSE-C it looks like an MD5 and is none, but differs
    for each object: two copies are then two contents, and never are two contents taken for one. Source: the
    S3 API reference, "Object", ETag.

    :param etag: without quotes, as the tables hold it.
    :param size: bytes.
    """
    if etag is None or size is None or not _DIGEST.fullmatch(etag):
        return None
    return f"{etag}-{size}"
