"""Counts and pages of a selection, answered from a load's index."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from moderation.console.index.gone import NONE, Marked
from moderation.console.index.load_index import LoadIndex
from moderation.console.index.selection import Selection
from moderation.console.index.steps import Step, by_kind, histogram, ladder
from moderation.policy.thresholds import Thresholds
from moderation.reference.content import SUBJECT_SQL
from moderation.schema import FAILED, MODERATED, NOT_ATTEMPTED

_KEPT_LISTS = 8
_KEPT_SIDES = 48
_SOURCE = "n, source_ref, bucket, key, etag, size_bytes"
_TILE = f"{_SOURCE}, status, error_code, content_type, label_count, max_confidence, foremost"
_KEPT_ROWS = 1_000


@dataclass(frozen=True)
class Listed:
    """The contents that a selection shows, in its order.

    :param images: number in the index of the image that stands for each content.
    :param copies: how many images of the selection have that content.
    """

    images: np.ndarray
    copies: np.ndarray

    @property
    def total(self) -> int:
        """Images, each copy counted."""
        return int(self.copies.sum())


@dataclass(frozen=True)
class Side:
    """What stands beside the images of a selection; the methods of :class:`Found` say what each is."""

    counts: dict[str, int]
    contents: int
    images: int
    ladder: list[int]
    tree: list[dict[str, Any]]
    kinds: dict[str, int]
    histogram: list[int]
    failures: list[dict[str, Any]]
    gone: dict[str, int]


class Found:
    """What is in a load, by the thresholds in use.

    :param index: of the load.
    :param thresholds: in use.
    :param gone: images that are no longer at their source.
    """

    def __init__(self, index: LoadIndex, thresholds: Thresholds, gone: Marked = NONE) -> None:
        self.index = index
        self.load = index.load
        self.asked = float(index.load["min_confidence"] or 0.0)
        self.thresholds = thresholds
        self.gone = gone
        # A published load never changes, so neither does an answer about it.
        self.listed = lru_cache(maxsize=_KEPT_LISTS)(self._list)
        self.side = lru_cache(maxsize=_KEPT_SIDES)(self._beside)
        # What does not depend on all of a selection is looked up once for those that differ in the rest.
        self._tree = lru_cache(maxsize=_KEPT_SIDES)(self._look_up_tree)
        self._failed = lru_cache(maxsize=_KEPT_SIDES)(self._count_failed)
        self.failures = lru_cache(maxsize=1)(self._look_up_failures)
        self.models = lru_cache(maxsize=1)(self._look_up_models)
        self._least = lru_cache(maxsize=1)(self._look_up_least)
        self._lately: dict[int, dict[str, Any]] = {}

    def forget(self) -> None:
        """Let go what was found out now: each knows the other, so only a sweep would end them."""
        for kept in (self.listed, self.side, self._tree, self._failed):
            kept.cache_clear()
        self._lately = {}

    def threshold(self, name: str) -> float:
        """The threshold in use of a label, percent."""
        return self.thresholds.of(name, asked=self.asked)

    def _list(self, chosen: Selection) -> Listed:
        """The selection's contents in their order."""
        rows = self.index.columns(
            f"SELECT min(n) AS image, count(*)::INTEGER AS copies FROM ({self._images(chosen)}) "  # noqa: S608 - SQL of ours
            f"GROUP BY content ORDER BY {_ORDER[chosen.order]}, image",
            self._parameters(chosen),
        )
        return Listed(rows["image"].to_numpy(), rows["copies"].to_numpy())

    def tiles(self, chosen: Selection, offset: int, limit: int) -> list[dict[str, Any]]:
        """A page of the selection: each content's first image, its copies and its foremost label."""
        listed = self.listed(chosen)
        numbers = listed.images[offset : offset + limit].tolist()
        copies = dict(zip(numbers, listed.copies[offset : offset + limit].tolist(), strict=True))
        rows = {row["n"]: row for row in self._rows_of(numbers)}
        if len(self._lately) > _KEPT_ROWS:
            self._lately = {}
        self._lately.update(rows)  # Their images are asked for next.
        return [
            rows[n] | {"copies": copies[n], "gone": self.gone.since(n) is not None}
            for n in numbers
            if n in rows
        ]

    def place(self, chosen: Selection, n: int) -> int | None:
        """Where the content of an image stands in the selection; None when it is not in it."""
        content = self.index.rows("SELECT content FROM image WHERE n = ?", [n])
        if not content:
            return None
        images = self.listed(chosen).images
        shown = self.index.rows("SELECT n FROM image WHERE content = ? ORDER BY n", [content[0]["content"]])
        for row in shown:
            places = np.flatnonzero(images == row["n"])
            if places.size:
                return int(places[0])
        return None

    def counts(self, chosen: Selection, kinds: dict[str, tuple[int, int]]) -> dict[str, int]:
        """Images of each kind in `selection.SHOWN`, under the selection's other conditions.

        :param kinds: see :func:`moderation.console.index.steps.by_kind`.
        """
        wanted = [kinds[kind] for kind in kinds if chosen.kind in {None, kind}]
        images, flagged = (sum(pair[place] for pair in wanted) for place in (0, 1))
        without = Selection(shown="failed", text=chosen.text, gone=chosen.gone)
        return {
            "flagged": flagged,
            "unflagged": images - flagged,
            "all": images,
            "failed": self._failed(without),
        }

    def _count_failed(self, without: Selection) -> int:
        (failed,) = self.index.rows(
            f"SELECT count(*) AS images FROM ({_conditions(without)})",  # noqa: S608 - SQL of ours
            self._plain_parameters(without),
        )
        return int(failed["images"])

    def steps(self, chosen: Selection) -> list[Step]:
        """Images by content type and highest confidence, whatever type is chosen."""
        every = replace(chosen, shown="all", kind=None, code=None)
        rows = self.index.rows(
            f"{self._limits(every)}, shown AS ({_conditions(every)}), hit AS ("  # noqa: S608 - SQL of ours
            "SELECT n, max(confidence) AS highest, bool_or(confidence >= limits.least) AS is_flagged "
            f"FROM found JOIN limits ON limits.node = found.listed WHERE true {_only(every)} GROUP BY n) "
            "SELECT content_type AS kind, if(highest IS NULL, NULL, least(floor(highest), 100))::INTEGER "
            "AS step, count(*) AS images, count(*) FILTER (is_flagged) AS flagged "
            "FROM shown LEFT JOIN hit USING (n) GROUP BY 1, 2",
            self._parameters(every),
        )
        return [Step(**row) for row in rows]

    def tree(self, chosen: Selection) -> list[dict[str, Any]]:
        """Each label with its images at the threshold, whatever label is chosen; in the tree's order."""
        free = Selection(shown="all", at=chosen.at, kind=chosen.kind, gone=chosen.gone, text=chosen.text)
        return self._tree(free)

    def _look_up_tree(self, free: Selection) -> list[dict[str, Any]]:
        return self.index.rows(self._tree_sql(free), self._parameters(free))

    def _tree_sql(self, free: Selection) -> str:
        # Labels have answered images alone, so the images need a look only when some are left out.
        narrowed = free.kind or free.text or free.gone
        only = f"SEMI JOIN ({_conditions(free)}) AS shown USING (n)" if narrowed else ""
        return (
            f"{self._limits(free)}, hit AS (SELECT DISTINCT n, found.node FROM found {only} "  # noqa: S608 - SQL of ours
            "JOIN limits ON limits.node = found.listed WHERE found.confidence >= limits.least), "
            "number AS (SELECT node, count(*) AS images FROM hit GROUP BY node) "
            "SELECT path, parent, name, level, coalesce(images, 0) AS images "
            "FROM node LEFT JOIN number USING (node) ORDER BY path"
        )

    def _look_up_failures(self) -> list[dict[str, Any]]:
        """Images without an answer by status and code, most first."""
        return self.index.rows(
            "SELECT status, error_code, count(*) AS images, min(error_message) AS message FROM image "
            "WHERE status <> ? GROUP BY ALL ORDER BY images DESC, error_code",
            [MODERATED],
        )

    def _look_up_models(self) -> list[str]:
        """Models that answered, in the order of their names."""
        rows = self.index.rows(
            "SELECT DISTINCT model_version FROM image "
            "WHERE status = ? AND model_version IS NOT NULL ORDER BY 1",
            [MODERATED],
        )
        return [row["model_version"] for row in rows]

    def gone_by_kind(self) -> dict[str, int]:
        """Images that are gone at their source: those with an answer under ``all``, others ``failed``."""
        if not len(self.gone.numbers):
            return {}
        rows = self.index.rows(
            "SELECT CASE WHEN status = ? THEN 'all' ELSE 'failed' END AS kind, count(*) AS images FROM image "
            "WHERE n IN (SELECT unnest(?::INTEGER[])) GROUP BY 1 ORDER BY 1",
            [MODERATED, self.gone.numbers.tolist()],
        )
        return {row["kind"]: row["images"] for row in rows}

    def image(self, n: int) -> dict[str, Any] | None:
        """All columns of an image; None when there is none of the number."""
        rows = self.index.rows("SELECT * FROM image WHERE n = ?", [n])
        return rows[0] if rows else None

    def source(self, n: int) -> dict[str, Any] | None:
        """Of an image what its tile is made from, read many times sooner than all; None when there is none.

        :returns: ``n``, ``source_ref``, ``bucket``, ``key``, ``etag``, ``size_bytes``, and maybe more.
        """
        if known := self._lately.get(n):
            return known
        rows = self.index.rows(f"SELECT {_SOURCE} FROM image WHERE n = ?", [n])  # noqa: S608 - names of ours
        return rows[0] if rows else None

    def about(self, image: Mapping[str, Any]) -> dict[str, Any]:
        """The ``labels`` of an image as answered, and others with the same content as ``copies_of``.

        :param image: as :meth:`image` gives it.
        """
        n = image["n"]
        labels = self.index.rows(
            "SELECT label.name, label.confidence, node.level, node.path FROM label JOIN node USING (node) "
            "WHERE n = ? ORDER BY node.path, label.confidence DESC",
            [n],
        )
        copies = self.index.rows(
            "SELECT n, source_ref, key FROM image WHERE content = ? AND n <> ? ORDER BY n LIMIT 100",
            [image["content"], n],
        )
        return {"labels": labels, "copies_of": copies}

    def export_sql(self, chosen: Selection, *, without: Collection[str] = ()) -> tuple[str, dict[str, Any]]:
        """SQL and parameters of all images of the selection with their highest confidence.

        :param without: contents that are left out, by their `moderation.reference.content.subject_id`.
        """
        left = f"WHERE {SUBJECT_SQL} NOT IN (SELECT unnest($without::VARCHAR[])) " if without else ""
        sql = (
            "SELECT source_ref, bucket, key, status, error_code, content_type, confidence, model_version, "  # noqa: S608 - SQL of ours
            f"adapter, gone_at FROM ({self._images(chosen, every_column=True)}) LEFT JOIN ("
            "SELECT unnest($marked::INTEGER[]) AS n, unnest($marked_at::TIMESTAMPTZ[]) AS gone_at) USING (n) "
            f"{left}ORDER BY {_EXPORT_ORDER[chosen.order]}, n"
        )
        marked = {"marked": self.gone.numbers.tolist(), "marked_at": self.gone.moments()}
        return sql, self._parameters(chosen) | marked | ({"without": sorted(without)} if without else {})

    def _beside(self, chosen: Selection) -> Side:
        """All that stands beside the images of a selection."""
        listed = self.listed(chosen)
        steps = self.steps(chosen)
        rungs = ladder(steps, chosen.kind)
        kinds = by_kind(steps)
        return Side(
            counts=self.counts(chosen, kinds),
            contents=len(listed.images),
            images=listed.total,
            ladder=rungs,
            tree=self.tree(chosen),
            kinds=_shown_by_kind(chosen, kinds),
            histogram=histogram(rungs),
            failures=self.failures(),
            gone=self.gone_by_kind(),
        )

    def _rows_of(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        if not numbers:
            return []
        return self.index.rows(
            f"SELECT {_TILE} FROM image WHERE n IN (SELECT unnest($1::INTEGER[]))",  # noqa: S608 - names of ours
            [list(numbers)],
        )

    def _images(self, chosen: Selection, *, every_column: bool = False) -> str:
        """SQL of its images: ``n``, ``content``, ``content_type``, ``source_ref``, ``confidence``.

        The confidence is the highest of a label that is found by its threshold; null when there is none.
        """
        shown = {
            "flagged": "WHERE confidence IS NOT NULL",
            "unflagged": "WHERE confidence IS NULL",
        }.get(chosen.shown, "")
        columns = "shown.*" if every_column else "shown.n, content, content_type, source_ref"
        return (
            f"{self._limits(chosen)}, shown AS ({_conditions(chosen)}), hit AS ("  # noqa: S608 - SQL of ours
            "SELECT n, max(confidence) AS confidence FROM found JOIN limits ON limits.node = found.listed "
            f"WHERE confidence >= limits.least {_only(chosen)} GROUP BY n) "
            f"SELECT {columns}, confidence FROM shown LEFT JOIN hit USING (n) {shown}"
        )

    def _limits(self, chosen: Selection) -> str:
        """The least confidence of each label, as the beginning of a query."""
        if chosen.at is not None:
            return "WITH limits AS (SELECT node, $at::DOUBLE AS least FROM node)"
        return (
            "WITH limits AS (SELECT node, least FROM node JOIN (SELECT unnest($names::VARCHAR[]) AS name, "
            "unnest($least::DOUBLE[]) AS least) USING (name))"
        )

    def _parameters(self, chosen: Selection) -> dict[str, Any]:
        given: dict[str, Any] = {}
        if chosen.at is not None:
            given["at"] = chosen.at
        else:
            given |= self._least()
        if chosen.node:
            given["node"] = chosen.node
        return given | self._plain_parameters(chosen)

    def _look_up_least(self) -> dict[str, Any]:
        """The thresholds in use as parameters of `_limits`."""
        names = [row["name"] for row in self.index.rows("SELECT DISTINCT name FROM node ORDER BY name")]
        return {"names": names, "least": [self.threshold(name) for name in names]}

    def _plain_parameters(self, chosen: Selection) -> dict[str, Any]:
        """The parameters of `_conditions`."""
        failed = chosen.shown == "failed"
        told = {
            "kind": None if failed else chosen.kind,
            "text": chosen.text,
            "code": chosen.code if failed else None,
        }
        given: dict[str, Any] = {name: value for name, value in told.items() if value}
        return given | ({"gone": self.gone.numbers.tolist()} if chosen.gone else {})


_ORDER = {
    "confidence": "max(confidence) DESC NULLS LAST",
    "doubtful": "max(confidence) NULLS LAST",
    "name": "min(source_ref)",
}
_EXPORT_ORDER = {
    "confidence": "confidence DESC NULLS LAST",
    "doubtful": "confidence NULLS LAST",
    "name": "source_ref",
}


def _conditions(chosen: Selection) -> str:
    """SQL of the images that the selection looks at, before labels and thresholds."""
    failed = chosen.shown == "failed"
    where = [f"status IN ('{FAILED}', '{NOT_ATTEMPTED}')" if failed else f"status = '{MODERATED}'"]
    if chosen.kind and not failed:
        where.append("content_type = $kind")
    if chosen.text:
        where.append("contains(lower(source_ref), lower($text))")
    if chosen.code and failed:
        where.append("error_code = $code")
    if chosen.gone:
        where.append("n IN (SELECT unnest($gone::INTEGER[]))")
    return f"SELECT * FROM image WHERE {' AND '.join(where)}"  # noqa: S608 - conditions of ours


def _only(chosen: Selection) -> str:
    """SQL of a further condition on `found`: the chosen label."""
    return "AND found.node IN (SELECT node FROM node WHERE path = $node)" if chosen.node else ""


def _shown_by_kind(chosen: Selection, kinds: dict[str, tuple[int, int]]) -> dict[str, int]:
    """Of these images those that the selection shows, by content type."""
    if chosen.shown == "failed":
        return {}
    pick = {"flagged": lambda pair: pair[1], "unflagged": lambda pair: pair[0] - pair[1]}
    of = pick.get(chosen.shown, lambda pair: pair[0])
    return {kind: of(pair) for kind, pair in kinds.items()}
