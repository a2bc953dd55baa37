"""Small JSON files that tell when a single byte of them is not what was written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import orjson

from moderation.errors import NeedsAPersonError

T = TypeVar("T")


class SealBroken(NeedsAPersonError, ValueError):
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


def read_state(
    s3: Any,
    uri: str,
    *,
    parse: Callable[[dict[str, Any]], T],
    error: Callable[[str], Exception],
    remedy: str,
) -> T | None:
    """What the state file ``uri`` says; None when there is no such file.

    :param parse: as for :func:`parse_state`, and so are ``error`` and ``remedy``.
    :raises S3Error: S3 cannot be read.
    """
    # boto3 is slow to import, and whoever flattens needs none of it.
    from moderation.storage import s3_objects  # noqa: PLC0415

    stored = s3_objects.find(s3, uri)
    if stored is None:
        return None
    return parse_state(stored.body, uri, parse=parse, error=error, remedy=remedy)


def parse_state(
    body: bytes,
    where: str,
    *,
    parse: Callable[[dict[str, Any]], T],
    error: Callable[[str], Exception],
    remedy: str,
) -> T:
    """What a state file says; raises ``error`` when it is not what was written, or says something else.

    :param where: the file, for the error's text.
    :param parse: makes the value of what :func:`seal` was given; a key that is missing, or a value of another
        type than it expects, is damage too.
    :param error: takes the text: which file, what is wrong with it, and the remedy.
    :param remedy: what a person has to do.
    """
    try:
        return parse(unseal(body))
    except KeyError as fault:
        raise error(f"{where} is damaged: it has no {fault}; {remedy}") from fault
    except (AttributeError, TypeError, ValueError) as fault:
        raise error(f"{where} is damaged: {fault}; {remedy}") from fault


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
