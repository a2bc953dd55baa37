"""The receipt of an erasure: what went, what did not, and what a person must do. It names no key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from moderation.settings import Settings
from moderation.storage import s3_objects, tombstones
from moderation.storage.tombstones import Erasure

WENT = {
    "images": "rows of images",
    "labels_l1": "rows of labels_l1",
    "labels_l2": "rows of labels_l2",
    "labels_l3": "rows of labels_l3",
    "anomalies": "rows of anomalies",
    "plans": "plans with their inputs, manifests, answers and lists",
    "leftovers": "files of plans that were never finished",
    "reports": "reports and their pages",
    "ledger": "entries of the ledger",
    "gone": "rows of gone",
    "chunks": "entries of the lists of archives",
    "uploads": "copies of local files in S3",
    "verdicts": "verdicts that keep no key, hash and note",
    "sets": "training sets that have lost images",
    "shadow_answers": "rows of shadow_answers",
    "cache": "small images and indexes of the console on this machine",
    "spool": "files of answers on this machine",
    "old_files": "files of older snapshots",
    "warehouses": "warehouses brought up to date",
}
"""What each count of an erasure is of."""

_ALWAYS = (
    "backups, replicas, older versions of objects in buckets that keep them: let them expire, or delete them",
    "AWS: what Rekognition keeps of a job is AWS's (docs/erasure.md says what is known); CloudTrail and S3 "
    "access logs name keys where they are switched on",
    "logs of Airflow's tasks and of servers, a PostgreSQL's write-ahead log: they expire by their own rules",
    "files that people exported, and notebooks",
    "caches of consoles, and spools of workers, on other machines: erase the same there, or delete them",
)


@dataclass
class Receipt:
    """What came of an erasure.

    :ivar counts: what went, by the names of :data:`WENT`, in all tries together.
    :ivar left: what names an image still though it should not: sentences; empty when all of it went.
    :ivar to_do: what this command cannot reach and a person must see to.
    """

    name: str
    asked_at: str
    ended_at: str
    keys: int
    contents: int
    images: int
    loads: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    to_do: list[str] = field(default_factory=list)
    searched: int = 0

    def to_json(self) -> bytes:
        """The receipt for programs."""
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2)

    def to_text(self) -> str:
        """The receipt for people."""
        lines = [
            f"Erasure {self.name}, asked for {self.asked_at}, ended {self.ended_at}",
            f"Asked for     {self.keys:,} keys, {self.contents:,} contents; {self.images:,} rows of images",
            f"Loads         {', '.join(self.loads) or 'none'}",
            "Went",
        ]
        lines += [f"  {number:>9,} {WENT[name]}" for name, number in _in_order(self.counts)] or ["  nothing"]
        lines.append(
            f"Searched      {self.searched:,} files afterwards: "
            + ("none names an image" if not self.left else f"{len(self.left):,} remarks")
        )
        lines += _listed("Not erased", self.left)
        lines += _listed("For a person to do", self.to_do)
        return "\n".join(lines) + "\n"


def unreachable(
    settings: Settings, *, sources: int, adapters: Iterable[str], loads: Iterable[str]
) -> list[str]:
    """What no command of this product can erase.

    :param sources: images that lie at their source, as far as is known.
    :param adapters: ARNs of those trained on an erased image.
    """
    told = []
    if sources:
        told.append(
            f"{sources:,} images at their source are nobody's but yours: delete the objects or files there"
        )
    told += [
        f"{arn} was trained on an erased image and cannot unlearn: `{settings.command} adapter retire {arn}`"
        for arn in adapters
    ]
    if named := ", ".join(loads):
        told.append(
            f"Redshift, and any warehouse that only a Dag reaches: let its load tasks bring in {named} anew, "
            "then VACUUM; Athena reads the tables themselves"
        )
    return [*told, *_ALWAYS]


def keep(s3: Any, settings: Settings, receipt: Receipt) -> str:
    """Store the receipt as JSON and text; returns the URI of the text."""
    for suffix, body in (("-receipt.json", receipt.to_json()), ("-receipt.txt", receipt.to_text().encode())):
        s3_objects.put(s3, tombstones.uri_of(settings, receipt.name, suffix), body)
    return tombstones.uri_of(settings, receipt.name, "-receipt.txt")


def of(erasure: Erasure, **more: Any) -> Receipt:
    """A receipt of an erasure as it is kept."""
    return Receipt(
        name=erasure.name,
        asked_at=erasure.at,
        keys=len(erasure.keys),
        contents=len(erasure.contents),
        loads=erasure.loads,
        counts=dict(erasure.counts),
        **more,
    )


def _in_order(counts: dict[str, int]) -> list[tuple[str, int]]:
    return [(name, counts[name]) for name in WENT if counts.get(name)]


def _listed(title: str, sentences: list[str]) -> list[str]:
    return [title, *(f"  - {sentence}" for sentence in sentences)] if sentences else []
