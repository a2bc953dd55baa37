"""An item of a queue as a person sees it: its image and, unless it is blind, the answer about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moderation.console.gate import Person, Right
from moderation.console.index.found import Found
from moderation.console.index.load_index import NoSuchLoadError
from moderation.console.pages.view import confidence
from moderation.console.shared import Shared
from moderation.console.verify.elsewhere import Place
from moderation.policy.rules import Policy, decide
from moderation.reference import definitions
from moderation.reference.taxonomy import taxonomy
from moderation.report.page import wording
from moderation.review.effective import opinions
from moderation.review.queue import DISPUTES, Item, Queue
from moderation.review.verdict import Verdict

Link = Callable[..., str]


@dataclass(frozen=True)
class Answer:
    """An image of a load, and what was answered about it.

    :param row: its row in the load's index.
    :param labels: ``name``, ``level``, ``path``, ``confidence``, and ``threshold`` (the one in use), in the
        order of the tree.
    """

    load: Mapping[str, Any]
    row: Mapping[str, Any]
    labels: Sequence[Mapping[str, Any]]

    def confidence_of(self, label: str) -> float | None:
        """The highest confidence of a label by name; None where the answer does not list it."""
        return max((one["confidence"] for one in self.labels if one["name"] == label), default=None)

    def decision_by(self, policy: Policy) -> str | None:
        """What a policy makes of it; None where nothing was answered."""
        kind = self.row["content_type"]
        return None if kind is None else decide(policy, self.labels, content_type=kind)[0]


def by_line(shared: Shared, items: Iterable[Item]) -> dict[str, Answer]:
    """The answers that items were drawn from, by item id.

    Where that one is gone, the latest about the same content; none where nothing is published of it.
    """
    every = list(items)
    told = _at(
        shared,
        {
            item.item_id: (item.load_id, item.manifest_id, item.line_number)
            for item in every
            if item.load_id is not None and item.manifest_id is not None and item.line_number is not None
        },
    )
    missing = [item for item in every if item.item_id not in told]
    if missing:
        places = shared.elsewhere.of({item.content for item in missing})
        told |= _at(
            shared, {item.item_id: places[item.content] for item in missing if item.content in places}
        )
    return told


def _at(shared: Shared, places: Mapping[str, Place]) -> dict[str, Answer]:
    """The answers at places, by the same names; none for a load that is not published."""
    of_load: dict[str, dict[str, tuple[str, int]]] = defaultdict(dict)
    for name, (load_id, manifest_id, line_number) in places.items():
        of_load[load_id][name] = (manifest_id, line_number)
    told: dict[str, Answer] = {}
    for load_id, lines in of_load.items():
        try:
            found = shared.found(load_id)
        except NoSuchLoadError:
            continue
        rows = found.index.rows(
            "SELECT image.* FROM image JOIN (SELECT unnest($1::VARCHAR[]) AS manifest_id, "
            "unnest($2::BIGINT[]) AS line_number) AS wanted USING (manifest_id, line_number)",
            [[line[0] for line in lines.values()], [line[1] for line in lines.values()]],
        )
        answers = {(one.row["manifest_id"], one.row["line_number"]): one for one in _with_labels(found, rows)}
        told |= {name: answers[line] for name, line in lines.items() if line in answers}
    return told


def by_number(shared: Shared, load_id: str, numbers: Sequence[int]) -> dict[int, Answer]:
    """The answers about images of a load, by their numbers in its index."""
    found = shared.found(load_id)
    rows = found.index.rows("SELECT * FROM image WHERE n IN (SELECT unnest($1::BIGINT[]))", [list(numbers)])
    return {one.row["n"]: one for one in _with_labels(found, rows)}


def _with_labels(found: Found, rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
    listed = found.index.rows(
        "SELECT n, label.name, label.confidence, node.level, node.path FROM label JOIN node USING (node) "
        "WHERE n IN (SELECT unnest($1::INTEGER[])) ORDER BY n, node.path, label.confidence DESC",
        [[row["n"] for row in rows]],
    )
    of_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for label in listed:
        of_image[label["n"]].append(label | {"threshold": found.threshold(label["name"])})
    return [Answer(found.load, row, of_image[row["n"]]) for row in rows]


def shown(
    shared: Shared, items: Sequence[Item], *, queue: Queue, person: Person, link: Link
) -> list[dict[str, Any]]:
    """Items as `static/verify/types.js` has them; those that nothing published tells of are left out."""
    answers = by_line(shared, items)
    severe = shared.severe()
    blind = queue.spec.blind
    said = _opinions(shared, items) if queue.queue_id == DISPUTES else {}
    return [
        _item(item, answers[item.item_id], link=link, blind=blind)
        | {
            "hidden": item.content in severe and not person.may(Right.DECIDE),
            "opinions": said.get(item.item_id, []),
        }
        for item in items
        if item.item_id in answers
    ]


def _opinions(shared: Shared, items: Sequence[Item]) -> dict[str, list[dict[str, str | None]]]:
    """What people said of the label of each item, for who decides between them."""
    of_content: dict[str, list[Verdict]] = defaultdict(list)
    for row in shared.review.log.of_contents({item.content for item in items}):
        of_content[str(row.content)].append(row)
    return {
        item.item_id: [
            {"who": row.reviewer, "said": truth, "note": row.note}
            for row, truth in opinions(of_content[item.content], item.label or "")
        ]
        for item in items
    }


def _item(item: Item, answer: Answer, *, link: Link, blind: bool) -> dict[str, Any]:
    row = answer.row
    place = {"load_id": answer.load["load_id"], "n": row["n"]}
    asked = answer.confidence_of(item.label) if item.label else None
    return {
        "item": item.item_id,
        "queue": item.queue_id,
        "load": place["load_id"],
        "n": row["n"],
        "view": link("view", **place),
        "tile": link("tile", **place),
        "page": link("image", **place) + "?show=all",
        "name": wording.foreign(row["key"] or row["source_ref"]),
        "copies": item.copies,
        "label": item.label or None,
        "confidence": None if blind or asked is None else confidence(asked),
        "kind": None if blind else row["content_type"],
        "blind": blind,
        "labels": [] if blind else [_label(label) for label in answer.labels],
        "opinions": [],
    }


def _label(label: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": label["name"],
        "level": label["level"],
        "path": label["path"],
        "confidence": confidence(label["confidence"]),
        "flagged": label["confidence"] >= label["threshold"],
        "defined": definitions.definition(label["name"]),
    }


def labels_of_taxonomy() -> list[dict[str, Any]]:
    """All labels that can be missed, in the tree's order."""
    return [
        {
            "name": node.name,
            "level": node.level,
            "path": " › ".join(node.path),
            "confidence": None,
            "flagged": False,
            "defined": "",
        }
        for node in taxonomy()
    ]
