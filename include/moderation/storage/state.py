"""Small JSON files that tell when a single byte of them is not what was written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson


class SealBroken(ValueError):
    """The file is not what was written."""


def seal(content: Mapping[str, Any]) -> bytes:
    """JSON for people to read, with a checksum of the content as its last entry."""
    return orjson.dumps({**content, "checksum": _checksum(content)}, option=orjson.OPT_INDENT_2)


def unseal(body: bytes) -> dict[str, Any]:
    """What :func:`seal` was given.

    :raises SealBroken: any byte differs, white space included.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SealBroken(f"it is no JSON: {error}") from error
    if not isinstance(content, dict) or "checksum" not in content:
        raise SealBroken("it has no checksum")
    del content["checksum"]
    # Written again it must be the same file: so white space, which no checksum of the values covers, counts.
    if seal(content) != body:
        raise SealBroken("its checksum does not fit")
    return content


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
