"""What a shadow answered, beside what the champion had, as rows of the table ``shadow_answers``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa

from moderation.adapters.shadow import budget
from moderation.adapters.shadow.sample import Seen, Shadow
from moderation.analyse.detect.request import DetectOptions
from moderation.analyse.detect.run import run_manifest, settle_manifest
from moderation.query.published_views import open_published
from moderation.reference.taxonomy import taxonomy
from moderation.schema import physical_schema
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.standing import SHADOW_ANSWERS


def ask(settings: Settings, shadow: Shadow, *, options: DetectOptions | None = None, **given: Any) -> bool:
    """Ask about all manifests that the budget bears, without Airflow; whether it bore all.

    :param given: more arguments of `run_manifest`.
    """
    options = options or DetectOptions(max_in_flight=budget.IN_FLIGHT, stops_without_adapter=True)
    for number in range(len(shadow.chunks)):
        if not budget.may_ask(settings, shadow.shadow_id, number):
            return False
        run_manifest(budget.request(settings, shadow, number), settings=settings, options=options, **given)
    return True


def rows(settings: Settings, shadow: Shadow, *, options: DetectOptions | None = None) -> pa.Table:
    """The answers there are, also those of manifests that were begun and that the budget bears no more.

    An answer of the base model in the challenger's place is none.
    """
    with s3_objects.open_client(settings) as s3:
        told = {seen.content: answer for seen, answer in _answered(s3, settings, shadow, options)}
    seen = {one.content: one for one in shadow.images if one.content in told}
    champions = _of_champion(settings, list(seen.values()))
    begun = datetime.fromisoformat(shadow.begun_at).astimezone(UTC)
    found = []
    for content, answer in told.items():
        one, theirs = seen[content], champions.get(content, {})
        mine = _confidences(answer)
        about = {
            "begun_at": begun,
            "dt": begun.date(),
            "shadow_id": shadow.shadow_id,
            "challenger": shadow.challenger,
            "champion": shadow.champion,
            "content": content,
            "load_id": one.load_id,
            "manifest_id": one.manifest_id,
            "line_number": one.line_number,
            "model_version": answer.get("ModerationModelVersion"),
            "min_confidence": shadow.min_confidence,
        }
        for label in (None, *sorted({*mine, *theirs})):
            node = taxonomy().lookup(label) if label else None
            found.append(
                about
                | {
                    "answer_id": f"{shadow.shadow_id}:{content}:{label or ''}",
                    "label": label,
                    "level": node.level if node else None,
                    "champion_confidence": theirs.get(label or ""),
                    "challenger_confidence": mine.get(label or ""),
                }
            )
    return pa.Table.from_pylist(found, schema=physical_schema(SHADOW_ANSWERS))


def _answered(
    s3: Any, settings: Settings, shadow: Shadow, options: DetectOptions | None
) -> Iterator[tuple[Seen, dict[str, Any]]]:
    for number, chunk in enumerate(shadow.chunks):
        done = budget.outcome(s3, settings, shadow, number)
        if done is None and not budget.bears(s3, settings, shadow, number):
            budget.mend_manifest(s3, settings, shadow, number)
            done = settle_manifest(budget.request(settings, shadow, number), s3=s3, options=options)
        if done is None:
            continue
        by_ref = {one.source_ref: one for one in chunk}
        for raw in s3_objects.iter_lines(s3, done.results_uri):
            entry = orjson.loads(raw)
            answer = entry["detect-moderation-labels"]
            if answer.get("ProjectVersion") == shadow.challenger:
                yield by_ref[entry["source-ref"]], answer


def _confidences(answer: dict[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for label in answer["ModerationLabels"]:
        node = taxonomy().lookup(label["Name"])
        name = node.name if node else str(label["Name"])
        found[name] = max(found.get(name, 0.0), float(label["Confidence"]))
    return found


def _of_champion(settings: Settings, images: list[Seen]) -> dict[str, dict[str, float]]:
    """Confidence by label and content, of the answers that the sample was drawn from."""
    if not images:
        return {}
    names = ("content", "load_id", "manifest_id", "line_number")
    asked = {name: [getattr(one, name) for one in images] for name in names}
    with open_published(settings) as connection:
        told = connection.execute(_LABELS, asked).fetchall()
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for content, name, confidence in told:
        node = taxonomy().lookup(name)
        label = node.name if node else name
        found[content][label] = max(found[content].get(label, 0.0), confidence)
    return found


_LABELS = """
WITH asked AS (
    SELECT unnest($content::VARCHAR[]) AS content, unnest($load_id::VARCHAR[]) AS load_id,
        unnest($manifest_id::VARCHAR[]) AS manifest_id, unnest($line_number::BIGINT[]) AS line_number
)
SELECT content, name, confidence FROM asked JOIN labels USING (load_id, manifest_id, line_number)
"""
