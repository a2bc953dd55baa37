"""From the log of verdicts, and what the base model had answered, to what is decided about each content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from moderation.adapters.sets.decided import Decided
from moderation.errors import WarehouseMissingError
from moderation.query.published_views import open_published
from moderation.reference.content import SUBJECT_SQL
from moderation.reference.taxonomy import taxonomy
from moderation.review.effective import effective, standing
from moderation.review.log import VerdictLog
from moderation.review.verdict import Verdict
from moderation.settings import Settings

_PAGE = 10_000


@dataclass(frozen=True)
class Answer:
    """What the base model said of a content: confidence by label."""

    confidences: Mapping[str, float] = field(default_factory=dict)


def all_verdicts(log: VerdictLog) -> list[Verdict]:
    """Every row of the log that is about a content."""
    rows: list[Verdict] = []
    position = 0
    while page := log.since(position, _PAGE):
        position = page[-1][0]
        rows += [row for _, row in page if row.content is not None]
    return rows


def decide(rows: Iterable[Verdict], answers: Mapping[str, Answer]) -> list[Decided]:
    """What people together say of each content, by the one rule of :mod:`moderation.review.effective`.

    :param answers: the base model's, by content.
    """
    by_content: dict[str, list[Verdict]] = defaultdict(list)
    for row in standing(rows):
        by_content[str(row.content)].append(row)
    names = [node.name for node in taxonomy()]
    outcomes: dict[str, dict[str, str]] = defaultdict(dict)
    for (content, label), told in effective(
        [row for said in by_content.values() for row in said], names
    ).items():
        if taxonomy().lookup(label):
            outcomes[content][label] = told.truth.value
    decided = []
    for content, said in sorted(by_content.items()):
        if not outcomes[content]:
            continue
        newest = max(said, key=lambda row: (row.decided_at, row.verdict_id))
        answer = answers.get(content)
        decided.append(
            Decided(
                content=content,
                source_ref=str(newest.source_ref),
                etag=newest.etag,
                size_bytes=newest.size_bytes,
                outcomes=outcomes[content],
                confidences=answer.confidences if answer else {},
                answered=answer is not None,
                verdicts=tuple(sorted(row.verdict_id for row in said)),
            )
        )
    return decided


def base_answers(settings: Settings, contents: Iterable[str]) -> dict[str, Answer]:
    """The newest published answer of the base model to each content; {} when nothing was published.

    Answers of adapters are left aside: what they get wrong is no error of the model that is trained on.
    """
    wanted = sorted(set(contents))
    if not wanted:
        return {}
    sql = f"""
        WITH asked AS (SELECT unnest($contents::VARCHAR[]) AS content),
        answered AS (
            SELECT {SUBJECT_SQL} AS content, load_id, manifest_id, line_number, moderated_at
            FROM images WHERE status = 'moderated' AND adapter IS NULL
        ),
        newest AS (
            SELECT answered.* FROM answered JOIN asked USING (content)
            QUALIFY row_number() OVER (
                PARTITION BY content
                ORDER BY moderated_at DESC NULLS LAST, load_id DESC, manifest_id, line_number
            ) = 1
        )
        SELECT newest.content, labels.name, max(labels.confidence)
        FROM newest LEFT JOIN labels USING (load_id, manifest_id, line_number) GROUP BY ALL
    """  # noqa: S608 - texts of ours
    try:
        with open_published(settings) as connection:
            rows = connection.execute(sql, {"contents": wanted}).fetchall()
    except WarehouseMissingError:
        return {}
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for content, name, confidence in rows:
        confidences = found[content]
        if name is not None:
            node = taxonomy().lookup(name)
            confidences[node.name if node else name] = confidence
    return {content: Answer(confidences) for content, confidences in found.items()}


def gather(settings: Settings, log: VerdictLog) -> list[Decided]:
    """All that people decided, beside what the base model had said."""
    rows = all_verdicts(log)
    return decide(rows, base_answers(settings, (str(row.content) for row in rows)))
