"""What the offline Rekognition says of the images of `archive_run.py`, unread, and the same in SQL.

An image's number stands in its key. A content's number is that of the first key that had it; what becomes of
a content goes by its number alone, so that copies must get one answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from local_aws.rekognition.jobs import job_run
from local_aws.rekognition.wire.errors import ApiError

MODEL_VERSION = "offline-1.0"
_NUDITY, _PARTS = "Explicit Nudity", "Exposed Male Genitalia"
CHAINS: tuple[tuple[tuple[str, str, int], ...], ...] = (
    (),
    (("Violence", "", 1), ("Weapons", "Violence", 2)),
    (("Gambling", "", 1),),
    (("Explicit", "", 1), (_NUDITY, "Explicit", 2), (_PARTS, _NUDITY, 3)),
)
_KINDS = {6: 1, 8: 2, 9: 3}
"""Which chain the contents have of a remainder by ten; the others have none."""

_MIX = 2_654_435_761
_KEY = re.compile(r"-c(\d+)\.")
_NO_IMAGE = 3
"""Remainder by 1,000 of the contents that are refused for good. None stays owed: a chunk would be tried again
after half an hour."""

OBJECTS_SQL = """
SELECT n, CASE n % 100 WHEN 7 THEN n - 1 WHEN 57 THEN n // 2 ELSE n END AS content,
       printf('archive/%02d/%08d-c%08d.%s', n % 50, n, content, if(n % 500 = 3, 'txt', 'jpg')) AS key,
       if(content % 1000 = 9, 16 * 1024 * 1024, 100000 + content % 90000) AS size,
       md5(concat('content ', content)) AS etag,
       n % 500 = 3 AS is_text
FROM range({begin}, {end}) AS numbers(n)
"""
"""What the archive holds: one key in fifty has the content of another, one in a thousand is too large."""

ANSWERS_SQL = f"""
SELECT *, (content * {_MIX}) % 4294967296 AS mixed,
       CASE WHEN size > 15 * 1024 * 1024 THEN 'refused' WHEN mixed % 1000 = {_NO_IMAGE} THEN 'refused'
            ELSE 'answered' END AS outcome,
       (mixed // 1024) % 10 AS kind
FROM objects WHERE NOT is_text
"""
_LABELS = ", ".join(
    f"({kind}, {level}, '{name}')" for kind, chain in _KINDS.items() for name, _, level in CHAINS[chain]
)
LABELS_SQL = f"""
SELECT n, labels.level, labels.name FROM answers
JOIN (VALUES {_LABELS}) AS labels(kind, level, name) USING (kind) WHERE outcome = 'answered'
"""


class Unread:
    """A moderator that is never asked; making it takes the reading of images out of this process."""

    def __init__(self, **_: Any) -> None:
        job_run.JobRun._begin = _begin  # type: ignore[method-assign]

    def moderate(self, data: bytes, *, min_confidence: float = 50.0) -> SimpleNamespace:
        raise AssertionError("an image was read, and the pace of this benchmark is another's")


def _begin(self: Any, line: Any) -> Future[Any]:
    found = _KEY.search(line.key)
    mixed = int(found[1]) * _MIX % 2**32 if found else 0
    outcome = job_run._Outcome(answer=_answer(CHAINS[_chain(mixed)]))
    if mixed % 1000 == _NO_IMAGE:
        outcome = job_run._Outcome(error=ApiError("InvalidImageFormatException", "no image"))
    return job_run._done(outcome)


def _chain(mixed: int) -> int:
    return _KINDS.get(mixed // 1024 % 10, 0)


def _answer(chain: Iterable[tuple[str, str, int]]) -> dict[str, Any]:
    return {
        "ModerationLabels": [
            {"Confidence": 99.0, "Name": name, "ParentName": parent, "TaxonomyLevel": level}
            for name, parent, level in chain
        ],
        "ModerationModelVersion": MODEL_VERSION,
        "ContentTypes": [],
    }
