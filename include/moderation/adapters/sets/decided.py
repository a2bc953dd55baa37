"""What people decided about a content, and what the base model had said of it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from moderation.errors import NeedsAPersonError
from moderation.reference.taxonomy import taxonomy

PRESENT, ABSENT = "present", "absent"


class UnknownLabelError(NeedsAPersonError):
    """A label is none of taxonomy 7.0."""


@dataclass(frozen=True, kw_only=True)
class Decided:
    """One content.

    :param content: see :func:`moderation.reference.content.content_id`.
    :param etag: of the object that was looked at; None where that is not known.
    :param outcomes: by label, as the one rule for verdicts gives them: ``present``, ``absent``, ``disputed``
        or ``unsure``. A label that is not in it was not decided.
    :param confidences: what the base model answered, by label, above the confidence it was asked for.
    :param answered: whether there is an answer of the base model; without one nothing is right or wrong.
    :param verdicts: the ids of all verdicts that these outcomes come from.
    """

    content: str
    source_ref: str
    etag: str | None = None
    size_bytes: int | None = None
    outcomes: Mapping[str, str] = field(default_factory=dict)
    confidences: Mapping[str, float] = field(default_factory=dict)
    answered: bool = True
    verdicts: tuple[str, ...] = ()

    def is_decided(self, label: str) -> bool:
        """Whether people agreed about the label."""
        return self.outcomes.get(label) in {PRESENT, ABSENT}

    def has(self, label: str) -> bool:
        """Whether people found the label."""
        return self.outcomes.get(label) == PRESENT

    def is_flagged(self, label: str, threshold: float) -> bool:
        """Whether the base model answered the label with at least this confidence."""
        return self.confidences.get(label, -1.0) >= threshold


def spelled(labels: Collection[str]) -> tuple[str, ...]:
    """The labels as the taxonomy spells them, sorted, each once.

    :raises UnknownLabelError: naming those that it does not have, with the nearest that it has.
    """
    known = taxonomy()
    unknown = sorted({label for label in labels if known.lookup(label) is None})
    if unknown:
        raise UnknownLabelError("; ".join(_unknown(label) for label in unknown))
    return tuple(sorted({node.name for label in labels if (node := known.lookup(label)) is not None}))


def with_ancestors(labels: Collection[str]) -> tuple[str, ...]:
    """These labels and all above them, sorted."""
    known = taxonomy()
    found = {name for label in labels if (node := known.lookup(label)) for name in node.path}
    return tuple(sorted(found))


def with_descendants(labels: Collection[str]) -> tuple[str, ...]:
    """These labels and all below them, sorted: a decision about one tells something of those above."""
    wanted = set(spelled(labels))
    return tuple(sorted(node.name for node in taxonomy() if wanted & {*node.path, node.name}))


def _unknown(label: str) -> str:
    near = difflib.get_close_matches(label, [node.name for node in taxonomy()], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{label!r} is no label of taxonomy 7.0{hint}"
