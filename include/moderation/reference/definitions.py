"""What each label of taxonomy 7.0 means, in one sentence of our own.

Source of the meanings: the Rekognition developer guide, "Moderating content", table of labels. It decides
where ours is too short.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

from moderation.reference.taxonomy import taxonomy


def definition(name: str) -> str:
    """What the label means; "" for one that taxonomy 7.0 does not have."""
    node = taxonomy().lookup(name)
    return _definitions().get(node.name, "") if node else ""


@lru_cache(maxsize=1)
def _definitions() -> dict[str, str]:
    file = Path(__file__).with_name("data") / "definitions_v7.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        return {row["name"]: row["definition"] for row in csv.DictReader(lines)}
