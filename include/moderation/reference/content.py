"""When two objects are the same content: the one rule for the whole product."""

from __future__ import annotations

import hashlib
import re

_DIGEST = re.compile(r"[0-9a-f]{32}")
WHOLE = f"^{_DIGEST.pattern}$"
"""An ETag that proves the content, for RE2."""

SQL = "CASE WHEN regexp_full_match(etag, '[0-9a-f]{32}') THEN etag || '-' || size_bytes END"
"""The same rule for DuckDB, over the columns ``etag`` and ``size_bytes`` of `images`."""

BOTH_SQL = SQL.replace("size_bytes", "size")
"""The same over ``etag`` and ``size`` of a plan's inputs."""

SUBJECT_SQL = f"""coalesce({SQL}, 'k-' || left(sha256(source_ref || chr(0) || coalesce(etag, '')
|| chr(0) || CASE WHEN size_bytes <> 0 THEN size_bytes::VARCHAR ELSE '' END), 40))"""
"""What :func:`subject_id` says, for DuckDB, over ``source_ref``, ``etag`` and ``size_bytes`` of `images`."""


def subject_id(source_ref: str, etag: str | None, size: int | None) -> str:
    """Name of what a person looks at: the content, or one object where nothing proves what it holds.

    :param source_ref: ``s3://bucket/key``.
    :param etag: without quotes, as the tables hold it.
    :param size: bytes.
    """
    told = "\0".join([source_ref, etag or "", str(size or "")])
    return content_id(etag, size) or f"k-{hashlib.sha256(told.encode()).hexdigest()[:40]}"


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
