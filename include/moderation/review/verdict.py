"""A verdict: label L is present, absent or unsure in this content, said by whom, when, seeing which answer.

Whether a model was right is derived from it, never stored: so verdicts outlive models.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Self

from moderation.errors import NeedsAPersonError


class VerdictError(NeedsAPersonError, ValueError):
    """What was sent is no verdict; the text names it and says what is expected."""


class Subject(StrEnum):
    """What is spoken of."""

    LABEL = "label"
    CONTENT_TYPE = "content_type"
    IMAGE = "image"


class Said(StrEnum):
    """What is said; :data:`ALLOWED` has what can be said of which subject."""

    PRESENT = "present"
    ABSENT = "absent"
    UNSURE = "unsure"
    SKIPPED = "skipped"
    WITHDRAWN = "withdrawn"
    NOTHING = "nothing"
    COMPLETE = "complete"
    SEVERE = "severe"
    NOT_SEVERE = "not_severe"
    NOTE = "note"


class Purpose(StrEnum):
    """What for the item was put before a person."""

    RATE = "rate"
    TRAINING = "training"
    GOLDEN = "golden"
    BENIGN = "benign"
    SECOND = "second"
    DISPUTE = "dispute"


class Origin(StrEnum):
    """Where the verdict comes from."""

    CONSOLE = "console"
    IMPORT = "import"


_OF_LABELS = frozenset({Said.PRESENT, Said.ABSENT, Said.UNSURE, Said.SKIPPED, Said.WITHDRAWN})
_OF_IMAGES = frozenset(
    {Said.NOTHING, Said.COMPLETE, Said.SEVERE, Said.NOT_SEVERE, Said.UNSURE, Said.SKIPPED, Said.NOTE}
)
ALLOWED = {
    Subject.LABEL: _OF_LABELS,
    Subject.CONTENT_TYPE: _OF_LABELS,
    Subject.IMAGE: _OF_IMAGES | {Said.WITHDRAWN},
}
ERASED = (
    *("content", "source_ref", "etag", "size_bytes", "note"),
    *("load_id", "manifest_id", "line_number", "item_id"),
)
"""What an erasure request makes null: the image, and what would find it in the table `images`."""

_MAX_TEXT = 4_000


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One row of the log and of the table `verdicts`: the same names in the same order.

    ``decided_at`` has a time zone; ``inclusion_probability`` is a share, ``confidence`` and ``threshold`` are
    percentages as AWS gives them.

    :raises VerdictError: it says what cannot be said.
    """

    verdict_id: str
    decided_at: datetime
    reviewer: str
    content: str | None
    source_ref: str | None
    etag: str | None = None
    size_bytes: int | None = None
    subject: str
    label: str | None = None
    level: int | None = None
    l1: str | None = None
    l2: str | None = None
    l3: str | None = None
    verdict: str
    replaces: str | None = None
    blind: bool = False
    load_id: str | None = None
    manifest_id: str | None = None
    line_number: int | None = None
    model_version: str | None = None
    adapter: str | None = None
    min_confidence: float | None = None
    confidence: float | None = None
    threshold: float | None = None
    policy_decision: str | None = None
    queue_id: str | None = None
    item_id: str | None = None
    design: str | None = None
    stratum: str | None = None
    inclusion_probability: float | None = None
    seed: int | None = None
    purpose: str | None = None
    origin: str = Origin.CONSOLE
    note: str | None = None
    erased: bool = False

    def __post_init__(self) -> None:
        if fault := _fault(self):
            raise VerdictError(f"verdict {self.verdict_id or '(without id)'}: {fault}")
        object.__setattr__(self, "decided_at", self.decided_at.astimezone(UTC))

    @property
    def dt(self) -> date:
        """The day in UTC on which it was said."""
        return self.decided_at.date()

    def as_row(self) -> dict[str, Any]:
        """All columns in the order of the table, ``dt`` included."""
        return {name: getattr(self, name) for name in COLUMNS}

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """The verdict of a row (name to value) of the log or of the table; other columns are left aside."""
        return cls(**{name: row[name] for name in _FIELDS if name in row})


_FIELDS = tuple(entry.name for entry in fields(Verdict))
COLUMNS = (_FIELDS[0], "dt", *_FIELDS[1:])
"""Columns of the log and of the table, in order."""


def new_id() -> str:
    """An id for a verdict; who sends one chooses it before sending, so that a repetition counts once."""
    return uuid.uuid4().hex


def _fault(said: Verdict) -> str | None:
    """What is wrong with it, as a part of a sentence; None if nothing is."""
    allowed = ALLOWED.get(said.subject)  # type: ignore[call-overload]
    faults = {
        "it has no id": not said.verdict_id,
        "it has no reviewer": not said.reviewer,
        "its time has no time zone": said.decided_at.tzinfo is None,
        f"nothing can be said of {said.subject!r}; expected {', '.join(Subject)}": allowed is None,
        f"{said.verdict!r} cannot be said of a {said.subject}; expected {', '.join(sorted(allowed or ()))}": (
            allowed is not None and said.verdict not in allowed
        ),
        "it names no label": said.subject != Subject.IMAGE and not said.label,
        "an image has no label": said.subject == Subject.IMAGE and said.label is not None,
        f"its level {said.level} is none of 1, 2, 3": (
            said.level not in {1, 2, 3} if said.subject == Subject.LABEL else said.level is not None
        ),
        "it names no content": not said.content and not said.erased,
        "it does not say what it withdraws": said.verdict == Said.WITHDRAWN and not said.replaces,
        f"its purpose {said.purpose!r} is none of {', '.join(Purpose)}": (
            said.purpose is not None and said.purpose not in set(Purpose)
        ),
        f"its origin {said.origin!r} is none of {', '.join(Origin)}": said.origin not in set(Origin),
        "its inclusion probability is not above 0 and at most 1": (
            said.inclusion_probability is not None and not 0 < said.inclusion_probability <= 1
        ),
        f"its note is longer than {_MAX_TEXT:,} characters": len(said.note or "") > _MAX_TEXT,
        "it has a character that cannot be stored": any(
            "\0" in value or not (value.isascii() or _is_text(value))
            for value in vars(said).values()
            if isinstance(value, str)
        ),
        "it is erased and still has a key, hash or note": (
            said.erased and any(getattr(said, name) is not None for name in ERASED)
        ),
    }
    return next((text for text, holds in faults.items() if holds), None)


def _is_text(value: str) -> bool:
    """Whether it can be stored: half of a character cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
