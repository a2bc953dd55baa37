"""Images that base model and adapter tell apart, as tiles that lead to their pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from moderation.adapters.sets import store
from moderation.adapters.sets.store import TrainingSetError
from moderation.console.index.load_index import NoSuchLoadError
from moderation.console.index.looks import look_at
from moderation.console.pages.view import confidence
from moderation.console.shared import Shared
from moderation.report.page import wording

MOST = 120
"""Images of an outcome that a page shows."""

Link = Callable[..., str]

OUTCOMES = (
    ("adapter", "Became right", "The adapter has them right, the base model had not."),
    ("base", "Became wrong", "The base model had them right, the adapter has not."),
    (None, "Nobody decided", "People have to say who is right before the gate can."),
)


def groups(shared: Shared, evaluation: Mapping[str, Any], set_uri: str, link: Link) -> list[dict[str, Any]]:
    """The flips by outcome, each image with ``tile`` and ``page``, or neither where it is in no load."""
    flips = [*evaluation["flips"]]
    originals = _originals(shared, set_uri)
    refs = {flip["source_ref"]: originals.get(flip["source_ref"], flip["source_ref"]) for flip in flips}
    places = _places(shared, refs.values())
    told = []
    for right, name, note in OUTCOMES:
        those = [flip for flip in flips if flip["right"] == right]
        if those:
            tiles = [_tile(flip, refs[flip["source_ref"]], places, link) for flip in those[:MOST]]
            told.append({"name": name, "note": note, "total": len(those), "tiles": tiles})
    return told


def _tile(
    flip: Mapping[str, Any], source_ref: str, places: Mapping[str, dict[str, Any]], link: Link
) -> dict[str, Any]:
    place = places.get(source_ref)
    base, adapter = (confidence(flip[f"{side}_confidence"]) for side in ("base", "adapter"))
    return {
        "name": wording.foreign(source_ref.rstrip("/").rpartition("/")[2]),
        "label": flip["label"],
        "told": f"base {base}, adapter {adapter}",
        "tile": link("tile", **place) if place else None,
        "page": link("image", **place) + "?show=all" if place else None,
    }


def _originals(shared: Shared, set_uri: str) -> dict[str, str]:
    """Where an image that was copied for the training is from."""
    try:
        stored = store.load(shared.settings, set_uri)
    except TrainingSetError:
        return {}
    if not stored.places:
        return {}
    return {
        stored.places[one.content]: one.source_ref
        for one in stored.contents.pictures
        if one.content in stored.places
    }


def _places(shared: Shared, source_refs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The newest job that has each image, and its number there."""
    wanted = sorted(set(source_refs))
    if not wanted:
        return {}
    with look_at(shared.settings) as connection:
        rows = connection.execute(_NEWEST, {"refs": wanted}).fetchall()
    of_load: dict[str, list[str]] = defaultdict(list)
    for source_ref, load_id in rows:
        of_load[load_id].append(source_ref)
    told: dict[str, dict[str, Any]] = {}
    for load_id, refs in of_load.items():
        try:
            index = shared.found(load_id).index
        except NoSuchLoadError:
            continue
        found = index.rows(
            "SELECT source_ref, min(n) AS n FROM image WHERE source_ref IN (SELECT unnest($1::VARCHAR[])) "
            "GROUP BY source_ref",
            [refs],
        )
        told |= {row["source_ref"]: {"load_id": load_id, "n": row["n"]} for row in found}
    return told


_NEWEST = """
SELECT source_ref, max(load_id) FROM images
WHERE status = 'moderated' AND source_ref IN (SELECT unnest($refs::VARCHAR[])) GROUP BY source_ref
"""
