"""Lines of a file become verdicts: translated against an answer, each with an id that its words give."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import duckdb

from moderation.reference.taxonomy import taxonomy
from moderation.review.exchange.answers import Answer, answers
from moderation.review.exchange.lines import Line, LineError, Refused
from moderation.review.log import VerdictLog
from moderation.review.verdict import Origin, Said, Subject, Verdict, VerdictError

_AT_ONCE = 5_000
_CONTENT_TYPES = ("Illustrated", "Animated")
_SAYS = {
    "true_positive": (Said.PRESENT, True),
    "false_positive": (Said.ABSENT, True),
    "false_negative": (Said.PRESENT, False),
    "true_negative": (Said.ABSENT, False),
    "present": (Said.PRESENT, None),
    "absent": (Said.ABSENT, None),
    "unsure": (Said.UNSURE, None),
}
"""What a word says of the label, and whether the answer must have it; None for a word about no answer."""


@dataclass
class Imported:
    """What became of a file.

    :ivar lines: that were read.
    :ivar new: verdicts that the log did not have.
    :ivar known: verdicts that it had.
    :ivar refused: lines that were not taken.
    """

    lines: int = 0
    new: int = 0
    known: int = 0
    refused: list[Refused] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Translation:
    """How lines are understood.

    :param reviewer: of lines that name nobody.
    :param load_id: of the answers that true and false are about; None for the latest of each image.
    :param threshold: percent from which an answer counts as one; None for everything that it lists.
    :param now: of lines that name no time.
    """

    reviewer: str
    load_id: str | None = None
    threshold: float | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


def import_lines(
    lines: Iterable[Line | Refused],
    connection: duckdb.DuckDBPyConnection,
    log: VerdictLog,
    translation: Translation,
) -> Imported:
    """Put what the lines say into the log; a line that cannot be taken is told, the rest is taken.

    :param connection: with the tables or views of the product.
    :raises StateError: the log cannot be written; what was taken before stays, and the same file may be sent
        again.
    """
    done = Imported()
    waiting = iter(lines)
    while part := list(islice(waiting, _AT_ONCE)):
        done.lines += len(part)
        done.refused += [line for line in part if isinstance(line, Refused)]
        good = [line for line in part if isinstance(line, Line)]
        found = answers(connection, (line.source_ref for line in good), load_id=translation.load_id)
        verdicts: dict[str, Verdict] = {}
        for line in good:
            try:
                for said in verdicts_of(line, found.get(line.source_ref), translation):
                    if said.verdict_id in verdicts:
                        done.known += 1
                    verdicts.setdefault(said.verdict_id, said)
            except (LineError, VerdictError) as error:
                done.refused.append(Refused(line.number, str(error)))
        appended = log.append(list(verdicts.values()))
        done.new += appended.new
        done.known += appended.known
    done.refused.sort(key=lambda refused: refused.number)
    return done


def verdicts_of(line: Line, answer: Answer | None, translation: Translation) -> list[Verdict]:
    """The verdicts of a line: one, or of a complete truth one for each label and one for the image.

    :raises LineError: the line contradicts the answer, or there is none.
    """
    if answer is None:
        where = f"in load {translation.load_id}" if translation.load_id else "in any load"
        raise LineError(f"{line.source_ref} was never moderated {where}, so nobody knows which content it is")
    return list(_verdicts(line, answer, translation))


def _verdicts(line: Line, answer: Answer, translation: Translation) -> Iterator[Verdict]:
    if line.labels is None:
        assert line.label is not None and line.word is not None  # noqa: S101, PT018 - `lines` has seen to it
        place = _place(line.label, answer)
        said, is_listed = _SAYS[line.word]
        confidence = answer.labels.get(place["label"])
        listed = confidence is not None and confidence >= (translation.threshold or 0)
        if is_listed is not None and is_listed is not listed:
            raise LineError(
                f"{line.word} does not fit the answer of load {answer.facts['load_id']}, which "
                f"{_told(confidence)} {place['label']}"
            )
        yield _verdict(line, answer, translation, said, place)
        return
    places = [_place(name, answer) for name in dict.fromkeys(line.labels)]
    for place in places:
        yield _verdict(line, answer, translation, Said.PRESENT, place)
    whole = {"subject": Subject.IMAGE, "label": None}
    yield _verdict(line, answer, translation, Said.COMPLETE if places else Said.NOTHING, whole)


def _told(confidence: float | None) -> str:
    return "does not list" if confidence is None else f"lists with {confidence:.1f} %"


def _place(label: str, answer: Answer) -> dict[str, Any]:
    """The label as the taxonomy has it, else as the answer has it."""
    for name in _CONTENT_TYPES:
        if name.lower() == label.lower():
            return {"subject": Subject.CONTENT_TYPE, "label": name}
    node = taxonomy().lookup(label)
    name, path = (node.name, node.path) if node else (label, answer.paths.get(label, ()))
    if not path:
        near = difflib.get_close_matches(label, [node.name for node in taxonomy().nodes], 1)
        raise LineError(
            f"the taxonomy has no label {label!r} and the answer neither"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )
    levels = dict(zip(("l1", "l2", "l3"), path, strict=False))
    return {"subject": Subject.LABEL, "label": name, "level": len(path), **levels}


def _verdict(
    line: Line,
    answer: Answer,
    translation: Translation,
    said: Said,
    place: dict[str, Any],
) -> Verdict:
    reviewer = line.reviewer or translation.reviewer
    time = line.decided_at.isoformat() if line.decided_at else ""
    told = (
        answer.facts["content"],
        reviewer,
        place["subject"],
        place["label"] or "",
        said,
        time,
        line.note or "",
    )
    return Verdict(
        verdict_id=hashlib.sha256("\0".join(told).encode()).hexdigest()[:32],
        decided_at=line.decided_at or translation.now,
        reviewer=reviewer,
        verdict=said,
        confidence=answer.labels.get(place["label"] or ""),
        threshold=translation.threshold,
        origin=Origin.IMPORT,
        note=line.note,
        **answer.facts,
        **place,
    )
