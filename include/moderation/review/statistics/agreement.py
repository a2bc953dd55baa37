"""How far people agree with each other and with golden items, how fast they decide, and what they are
exposed to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import krippendorff
import numpy as np
import pyarrow as pa

from moderation.review.statistics.frames import ABSENT, PRESENT

BREAK_SECONDS = 300.0
"""A longer pause between two decisions is no work."""

_COLUMNS = (
    *(
        "verdict_id",
        "decided_at",
        "reviewer",
        "content",
        "subject",
        "label",
        "verdict",
        "replaces",
        "purpose",
        "queue_id",
        "origin",
        "l1",
        "l2",
        "l3",
    ),
    "load_id",
)
_NO_DECISION = {"withdrawn", "note", "skipped"}
Row = dict[str, Any]


def alpha(verdicts: pa.Table) -> Iterator[dict[str, Any]]:
    """Krippendorff's alpha of each label, nominal, over contents that at least two people decided.

    :param verdicts: the log.
    :returns: a number each: measure, label, value, n (contents), k (those on which all agree), method,
    reason.
    """
    said: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    rows = _rows(verdicts)
    for row in _standing(rows, _undone(rows)):
        if row["subject"] == "label" and row["verdict"] in {PRESENT, ABSENT} and row["purpose"] != "dispute":
            said[row["label"]][row["content"]][row["reviewer"]] = row["verdict"]
    for label, contents in sorted(said.items()):
        several = [votes for votes in contents.values() if len(votes) > 1]
        agreed = sum(len(set(votes.values())) == 1 for votes in several)
        number = {"measure": "alpha", "label": label, "n": len(several), "k": agreed}
        number["population"] = f"{len(several):,} images that two or more people decided"
        yield number | _alpha(several)


def _alpha(several: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    if not several:
        return {"reason": "no image was decided by two people; give a queue second opinions"}
    if len({vote for votes in several for vote in votes.values()}) == 1:
        return {"reason": f"all said {next(iter(several[0].values()))}: chance cannot be told from skill"}
    people = sorted({name for votes in several for name in votes})
    table = np.array(
        [
            [{PRESENT: 1.0, ABSENT: 0.0}.get(votes.get(name, ""), np.nan) for votes in several]
            for name in people
        ]
    )
    value = krippendorff.alpha(reliability_data=table, level_of_measurement="nominal")
    return {"value": float(value), "method": "Krippendorff's alpha, nominal"}


def people(verdicts: pa.Table, *, pseudonyms: bool = False) -> list[dict[str, Any]]:
    """A dict for each reviewer.

    ``reviewer``; ``decisions``: all that was said of an image at one time is one; ``contents`` (distinct),
    ``days``; ``an_hour``: decisions an hour of work, pauses above five minutes left out, null before the
    second decision; ``seconds``: of work a decision, the mean, for those of a page of the grid come at once;
    ``golden`` and ``golden_right``: golden items and those on which it was as known; ``exposures_a_day`` and
    ``most_exposures``: distinct contents that the console showed them a day, skipped or taken back ones too,
    mean and most; one that is severe is nobody's.

    :param pseudonyms: "reviewer 1", in the order of their first decision, instead of names.
    """
    rows = _rows(verdicts)
    each: dict[str, list[Row]] = defaultdict(list)
    shown: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["decided_at"]):
        if row["origin"] == "console":
            shown[row["reviewer"]].append(row)
        if row["verdict"] not in _NO_DECISION:
            each[row["reviewer"]].append(row)
    asked, right = _against_golden(rows)
    hidden = _severe(rows)
    return [
        {"reviewer": f"reviewer {number}" if pseudonyms else name}
        | _pace(mine)
        | _exposed(shown[name], hidden)
        | {"golden": asked[name], "golden_right": right[name]}
        for number, (name, mine) in enumerate(each.items(), start=1)
    ]


def seconds_a_decision(verdicts: pa.Table | None) -> float | None:
    """The median of everybody's pace; None before anybody's second decision."""
    paces = [] if verdicts is None else [one["seconds"] for one in people(verdicts) if one["seconds"]]
    return float(np.median(paces)) if paces else None


def _severe(rows: Sequence[Row]) -> set[str]:
    """Contents of which the newest word, not taken back, is that they are severe."""
    undone = _undone(rows)
    said = [row for row in rows if row["verdict"] in {"severe", "not_severe"}]
    newest = {
        row["content"]: row["verdict"]
        for row in sorted(said, key=lambda row: (row["decided_at"], row["verdict_id"]))
        if row["verdict_id"] not in undone
    }
    return {content for content, verdict in newest.items() if verdict == "severe"}


def _pace(rows: Sequence[Row]) -> dict[str, Any]:
    answers: set[tuple[datetime, str]] = {
        (row["decided_at"], row["content"] or row["verdict_id"]) for row in rows
    }
    times = sorted(at for at, _ in answers)
    gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
    work = [gap for gap in gaps if gap <= BREAK_SECONDS]
    return {
        "decisions": len(answers),
        "contents": len({row["content"] or row["verdict_id"] for row in rows}),
        "days": len({row["decided_at"].date() for row in rows}),
        "an_hour": 3600 * len(work) / sum(work) if sum(work) else None,
        "seconds": sum(work) / len(work) if sum(work) else None,
    }


def _exposed(rows: Sequence[Row], hidden: Collection[str]) -> dict[str, Any]:
    seen: dict[date, set[str]] = defaultdict(set)
    for row in rows:
        if row["content"] in hidden:
            continue
        # An erased image was one exposure more; which it was is not known any more.
        seen[row["decided_at"].date()].add(row["content"] or row["verdict_id"])
    a_day = [len(contents) for contents in seen.values()]
    return {
        "exposures_a_day": float(np.mean(a_day)) if a_day else 0.0,
        "most_exposures": max(a_day, default=0),
    }


def _against_golden(rows: Sequence[Row]) -> tuple[Counter[str], Counter[str]]:
    """By reviewer, golden items of which something is known, and those on which nothing differs from it."""
    undone = _undone(rows)
    # What an operator laid down stays known when they meet the item as a test themselves.
    known = _known(_standing([row for row in rows if not _is_test(row)], undone))
    items: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in _standing([row for row in rows if _is_test(row)], undone):
        items[row["reviewer"], row["content"]].append(row)
    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for (reviewer, content), said in items.items():
        if checks := _checks(said, known.get(content, {})):
            asked[reviewer] += 1
            right[reviewer] += all(checks)
    return asked, right


def _is_test(row: Row) -> bool:
    """Whether a golden item was mixed in; in a queue of golden items its truth is laid down."""
    return row["purpose"] == "golden" and not (row["queue_id"] or "").startswith("golden-")


def _known(rows: Iterable[Row]) -> dict[str, dict[str | None, str]]:
    """What is known of contents, by label, and *nothing* by None: what a dispute decided, else what was laid
    down, else what was said where it was no test."""
    known: dict[str, dict[str | None, str]] = defaultdict(dict)
    rank = {"dispute": 2, "golden": 1}
    for row in sorted(rows, key=lambda row: (rank.get(row["purpose"], 0), row["decided_at"])):
        of_label = row["subject"] == "label" and row["verdict"] in {PRESENT, ABSENT}
        of_image = row["subject"] == "image" and row["verdict"] in {"nothing", "complete"}
        if of_label or of_image:
            known[row["content"]][row["label"]] = row["verdict"]
    return known


def _checks(said: Sequence[Row], known: Mapping[str | None, str]) -> list[bool]:
    """Whether each thing that a person said of a golden item, or left out of a whole image, is as known."""
    rest = ABSENT if known.get(None) == "nothing" else None
    labels = {row["label"]: row["verdict"] for row in said if row["subject"] == "label"}
    truths = {label: known.get(label, rest) for label in labels}
    checks = [verdict == truths[label] for label, verdict in labels.items() if truths[label] is not None]
    whole = next((row["verdict"] for row in said if row["subject"] == "image"), None)
    if whole in {"nothing", "complete"}:
        found = {row[level] for row in said if row["verdict"] == PRESENT for level in ("l1", "l2", "l3")}
        missed = {label for label, truth in known.items() if truth == PRESENT and label not in labels}
        checks += [label in found for label in missed]
        if rest is not None and not labels:
            checks.append(whole == known[None])
    return checks


def _undone(rows: Iterable[Row]) -> set[str]:
    return {row["replaces"] for row in rows if row["verdict"] == "withdrawn"}


def _standing(rows: Sequence[Row], undone: set[str]) -> list[Row]:
    """The newest of each reviewer about each thing that was not taken back, as the rule of verdicts says."""
    newest: dict[tuple[Any, ...], Row] = {}
    for row in sorted(rows, key=lambda row: (row["decided_at"], row["verdict_id"])):
        if row["verdict_id"] not in undone and row["verdict"] != "withdrawn" and row["content"] is not None:
            newest[row["content"], row["subject"], row["label"], row["reviewer"]] = row
    return list(newest.values())


def _rows(verdicts: pa.Table) -> list[Row]:
    rows: list[Row] = verdicts.select(_COLUMNS).to_pylist()
    return rows
