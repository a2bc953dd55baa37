"""The one rule for what people together say of a label in a content.

1. Of each reviewer the newest row counts, by time and then id. A withdrawn row takes away the one it names,
   so that the earlier one counts again. What is said of a whole image has two places: how far it is looked at
   (*nothing*, *complete*, *unsure*, *skipped*), and whether it is *severe*. A note says nothing.
2. A decision of the dispute queue (purpose *dispute*) wins over all others, the newest of them.
3. Else what was said of the label itself comes before what follows from something else: *present* of a label
   says the same of its ancestors, *absent* of its descendants, *nothing* says absent of all labels. Least of
   all weighs *complete*, which says absent of every label that is not marked.
4. *unsure* and *skipped* have no vote. All present is present, all absent is absent, both is disputed; only
   unsure is unsure.

The views `verdicts_current` and `labels_verified` say the same in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from moderation.reference.taxonomy import taxonomy
from moderation.review.verdict import Purpose, Said, Subject, Verdict


class Truth(StrEnum):
    """What people together say."""

    PRESENT = "present"
    ABSENT = "absent"
    DISPUTED = "disputed"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Effective:
    """What people together say of one label, or of a content type.

    :ivar reviewers: how many people have a vote in it.
    :ivar implied: nobody spoke of it by name.
    :ivar decided: it was decided in the dispute queue.
    """

    truth: Truth
    reviewers: int
    implied: bool = False
    decided: bool = False


_DECISION, _NAMED, _IMPLIED, _REST = 3, 2, 1, 0
_WHOLE = {Said.NOTHING, Said.COMPLETE, Said.UNSURE, Said.SKIPPED}
_VOTES = {Said.PRESENT: Truth.PRESENT, Said.ABSENT: Truth.ABSENT}


def standing(rows: Iterable[Verdict]) -> list[Verdict]:
    """The newest row of each reviewer, content and place that was not withdrawn; notes are none."""
    rows = list(rows)
    gone = {row.replaces for row in rows if row.verdict == Said.WITHDRAWN}
    newest: dict[tuple[str | None, ...], Verdict] = {}
    for row in sorted(rows, key=_order):
        says_nothing = row.verdict in {Said.WITHDRAWN, Said.NOTE} or row.content is None
        if not says_nothing and row.verdict_id not in gone:
            newest[row.content, row.reviewer, row.subject, row.label or _place(row)] = row
    return list(newest.values())


def effective(rows: Iterable[Verdict], labels: Iterable[str] = ()) -> dict[tuple[str, str], Effective]:
    """What people say together, by content and label (or name of a content type).

    :param rows: all rows of the contents; of others none.
    :param labels: answered of the contents though nobody spoke of them: what follows for them is said too.
    """
    by_content: dict[str, list[Verdict]] = {}
    for row in standing(rows):
        by_content.setdefault(str(row.content), []).append(row)
    wanted = {name: _path(name) for name in labels}
    found = {}
    for content, said in by_content.items():
        for label, path in (wanted | _spoken_of(said)).items():
            if (told := _of_label(said, label, path)) is not None:
                found[content, label] = told
    return found


def opinions(rows: Iterable[Verdict], label: str) -> list[tuple[Verdict, Truth]]:
    """Who says what of a label in one content, in the order in which they said it.

    Only what weighs most has a place, as in :func:`effective`; what was decided in the dispute queue is left
    out, for it is about these.

    :param rows: all rows of the content.
    """
    weighed = [(row, *_vote(row, label, _path(label))) for row in standing(rows)]
    votes = [
        (weight, row, _VOTES[word]) for row, weight, word in weighed if word in _VOTES and weight < _DECISION
    ]
    top = max((weight for weight, _, _ in votes), default=None)
    return [(row, truth) for weight, row, truth in votes if weight == top]


def severe(rows: Iterable[Verdict]) -> set[str]:
    """Contents of which the newest word is that they are severe."""
    newest: dict[str, Verdict] = {}
    for row in sorted(standing(rows), key=_order):
        if row.verdict in {Said.SEVERE, Said.NOT_SEVERE}:
            newest[str(row.content)] = row
    return {content for content, row in newest.items() if row.verdict == Said.SEVERE}


def path_of(row: Verdict) -> tuple[str, ...]:
    """The names from level 1 down to the label of the row."""
    told = tuple(name for name in (row.l1, row.l2, row.l3) if name)
    return told or _path(row.label or "")


def _path(label: str) -> tuple[str, ...]:
    node = taxonomy().lookup(label)
    return node.path if node else (label,)


def _order(row: Verdict) -> tuple[object, ...]:
    return row.decided_at, row.verdict_id


def _place(row: Verdict) -> str:
    return "whole" if row.verdict in _WHOLE else "severe"


def _spoken_of(said: list[Verdict]) -> dict[str, tuple[str, ...]]:
    """Labels that were named, and those above what was found, with their paths; () of a content type."""
    found: dict[str, tuple[str, ...]] = {}
    for row in said:
        if row.subject == Subject.LABEL:
            path = path_of(row)
            found[str(row.label)] = path
            if row.verdict == Said.PRESENT:
                found |= {name: path[: depth + 1] for depth, name in enumerate(path)}
        elif row.subject == Subject.CONTENT_TYPE:
            found[str(row.label)] = ()
    return found


def _of_label(said: list[Verdict], label: str, path: tuple[str, ...]) -> Effective | None:
    weighed = [(weight, row, word) for row in said for weight, word in [_vote(row, label, path)] if word]
    votes = [(weight, row, word) for weight, row, word in weighed if word in _VOTES]
    if not votes:
        unsure = any(word == Said.UNSURE for _, _, word in weighed)
        return Effective(Truth.UNSURE, reviewers=0) if unsure else None
    top = max(weight for weight, _, _ in votes)
    heaviest = [(row, word) for weight, row, word in votes if weight == top]
    if top == _DECISION:
        _, word = max(heaviest, key=lambda vote: _order(vote[0]))
        return Effective(_VOTES[word], reviewers=1, decided=True)
    truths = {_VOTES[word] for _, word in heaviest}
    return Effective(
        truth=truths.pop() if len(truths) == 1 else Truth.DISPUTED,
        reviewers=len({row.reviewer for row, _ in heaviest}),
        implied=top < _NAMED,
    )


def _vote(row: Verdict, label: str, path: tuple[str, ...]) -> tuple[int, Said | None]:
    """What a row says of a label, and how much that weighs; None where it says nothing of it."""
    said = Said(row.verdict)
    if row.label == label:
        return (_DECISION if row.purpose == Purpose.DISPUTE else _NAMED), said
    if row.subject == Subject.LABEL and path:
        above = said == Said.PRESENT and label in path_of(row)
        below = said == Said.ABSENT and row.label in path
        return _IMPLIED, said if above or below else None
    if path and said in {Said.NOTHING, Said.COMPLETE}:
        return (_IMPLIED if said == Said.NOTHING else _REST), Said.ABSENT
    return _REST, None
