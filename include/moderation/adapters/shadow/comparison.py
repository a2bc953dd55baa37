"""Where a challenger and the champion differ, from the published table ``shadow_answers``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from moderation.adapters import exact
from moderation.adapters.exact import Share
from moderation.adapters.stages import thresholds_in_use
from moderation.errors import WarehouseMissingError
from moderation.query.published_views import open_published
from moderation.review.queue import Item, Kind, Queue, QueueSpec
from moderation.review.queues import Queues
from moderation.review.verdict import Purpose
from moderation.settings import Settings

_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class LabelDifference:
    """A label in the answers of both.

    :param both: images that both flag; ``champion`` and ``challenger`` those that one of them alone does.
    :param agreement: the part of all images that both tell alike.
    """

    label: str
    threshold: float
    both: int
    champion: int
    challenger: int
    agreement: Share


@dataclass(frozen=True, kw_only=True)
class ShadowComparison:
    """A shadow as it stands.

    :param images: that the challenger answered.
    :param differing: of these, where one flags a label and the other does not.
    """

    shadow_id: str
    challenger: str
    champion: str | None
    images: int
    differing: int
    agreement: Share
    labels: tuple[LabelDifference, ...]

    def record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a terminal."""
        told = [
            f"{self.images:,} images; {self.challenger} and {self.champion or 'the base model'} tell "
            f"{self.agreement.k:,} of them alike"
            + (f" ({self.agreement.value:.1%})" if self.agreement.value is not None else "")
        ]
        return told + [
            f"{one.label} from {one.threshold:g} %: both flag {one.both:,}, the challenger alone "
            f"{one.challenger:,}, the one in use alone {one.champion:,}"
            for one in self.labels
        ]


def of_challenger(settings: Settings, arn: str) -> list[ShadowComparison]:
    """Every shadow of an adapter, the latest first; none where nothing is published.

    :raises TablesError: the tables cannot be read.
    """
    try:
        with open_published(settings) as connection:
            return list(_all_of(connection, arn))
    except WarehouseMissingError:
        return []


def queue_id(shadow_id: str) -> str:
    """Of the images that the two tell apart."""
    return f"{Kind.FILTER}-shadow-{shadow_id}"


def differing_queue(settings: Settings, queues: Queues, shadow_id: str) -> tuple[Queue, int]:
    """A queue of the images that the two tell apart, with the champion's answer; may be repeated.

    :returns: the queue and how many items were new. They enter no rate: nobody drew them.
    :raises StateError: not all were stored.
    """
    spec = QueueSpec(
        kind=Kind.FILTER, name=f"Where shadow {shadow_id} differs", filter={"shadow_id": shadow_id}
    )
    queue = queues.create(spec, queue_id(shadow_id))
    with open_published(settings) as connection:
        _flags(connection)
        rows = connection.execute(_DIFFERING, {"shadow_id": shadow_id}).fetchall()
    items = [Item(**dict(zip(_ITEM, row, strict=True)), purpose=Purpose.TRAINING) for row in rows]
    return queue, queues.add_items(queue.queue_id, items)


def _all_of(connection: duckdb.DuckDBPyConnection, arn: str) -> Iterator[ShadowComparison]:
    _flags(connection)
    shadows = connection.execute(_SHADOWS, {"arn": arn}).fetchall()
    for shadow_id, champion, images, differing in shadows:
        labels = connection.execute(_BY_LABEL, {"shadow_id": shadow_id}).fetchall()
        yield ShadowComparison(
            shadow_id=shadow_id,
            challenger=arn,
            champion=champion,
            images=images,
            differing=differing,
            agreement=exact.wilson(images - differing, images, confidence=_CONFIDENCE),
            labels=tuple(
                LabelDifference(
                    label=label,
                    threshold=threshold,
                    both=both,
                    champion=theirs,
                    challenger=mine,
                    agreement=exact.wilson(images - theirs - mine, images, confidence=_CONFIDENCE),
                )
                for label, threshold, both, theirs, mine in labels
            ),
        )


def _flags(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table ``flags``: each answer with what either of the two flags at the thresholds in use."""
    used, default = thresholds_in_use()
    labels = {"label": list(used.labels), "percent": list(used.labels.values()), "default": default}
    connection.execute(_FLAGS, labels)


_FLAGS = """
CREATE TEMP TABLE flags AS
WITH wanted AS (SELECT unnest($label::VARCHAR[]) AS label, unnest($percent::DOUBLE[]) AS percent)
SELECT s.*, greatest(coalesce(w.percent, $default), coalesce(s.min_confidence, 0)) AS threshold,
    coalesce(s.champion_confidence >= threshold, false) AS theirs,
    coalesce(s.challenger_confidence >= threshold, false) AS mine
FROM shadow_answers AS s LEFT JOIN wanted AS w ON w.label = s.label
"""

_SHADOWS = """
SELECT shadow_id, any_value(champion), count(DISTINCT content),
    count(DISTINCT content) FILTER (theirs <> mine)
FROM flags WHERE challenger = $arn GROUP BY shadow_id ORDER BY max(begun_at) DESC, shadow_id
"""

_BY_LABEL = """
SELECT label, any_value(threshold), count(*) FILTER (theirs AND mine) AS both_flag,
    count(*) FILTER (theirs AND NOT mine), count(*) FILTER (mine AND NOT theirs)
FROM flags WHERE shadow_id = $shadow_id AND label IS NOT NULL AND (theirs OR mine)
GROUP BY label ORDER BY count(*) FILTER (theirs <> mine) DESC, label
"""

_ITEM = ("content", "source_ref", "etag", "size_bytes", "load_id", "manifest_id", "line_number")

_DIFFERING = """
WITH apart AS (SELECT DISTINCT content, load_id, manifest_id, line_number FROM flags
    WHERE shadow_id = $shadow_id AND theirs <> mine)
SELECT content, source_ref, etag, size_bytes, load_id, manifest_id, line_number
FROM apart JOIN images USING (load_id, manifest_id, line_number) ORDER BY content
"""
