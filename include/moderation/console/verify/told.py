"""A queue in words, and who works at it."""

from __future__ import annotations

from dataclasses import dataclass

from moderation.console.gate import Person, Right
from moderation.review.queue import Kind, Queue

KINDS = {
    Kind.JOB: (
        "A job's predictions",
        "All that a job found a label in, however unsure; one content once.",
    ),
    Kind.BAND: (
        "A label between two confidences",
        "Where the model is in doubt; for precision and for training.",
    ),
    Kind.POLICY: (
        "What the policy sends to review",
        "Images of the job that the policy file decides as review.",
    ),
    Kind.RANDOM_UNFLAGGED: ("A random sample of what was not flagged", "The way to know what was missed."),
    Kind.STRATIFIED: (
        "A sample over bands of confidence",
        "Finds misses with fewer images: more are drawn where more is expected.",
    ),
    Kind.FILTER: ("The selection of a job's page", "Images as filtered there."),
    Kind.GOLDEN: ("Golden images", "Known ones, mixed in to see how people and rules agree."),
}

_MADE_BY_ITSELF = {Kind.DISPUTE: "Where people disagree", Kind.ADAPTER: "A sample of what an adapter answers"}
"""Kinds that nobody asks for."""

_NO_SELECTION = {"lack": "What a training lacks", "shadow_id": "What two models tell apart"}
"""What a queue of the kind of selections is, by an option that it has instead of a job."""


@dataclass(frozen=True)
class Told:
    """A queue as pages show it."""

    queue_id: str
    name: str
    kind: str
    label: str | None
    what: str
    state: str
    blind: bool
    people: tuple[str, ...]


def told(queue: Queue) -> Told:
    """What there is to say of a queue."""
    spec = queue.spec
    words = _MADE_BY_ITSELF.get(Kind(spec.kind)) or KINDS[Kind(spec.kind)][0]
    if spec.kind == Kind.FILTER and spec.load_id is None:
        words = next((told for name, told in _NO_SELECTION.items() if name in (spec.filter or {})), words)
    parts = [words]
    if spec.label:
        parts.append(spec.label)
    if spec.low is not None and spec.high is not None:
        parts.append(f"{spec.low:g} to {spec.high:g} %")
    return Told(
        queue_id=queue.queue_id,
        name=spec.name,
        kind=str(spec.kind),
        label=spec.label,
        what=" · ".join(parts),
        state="paused" if queue.paused else "open",
        blind=spec.blind,
        people=spec.people,
    )


def may_work(about: Told, person: Person) -> bool:
    """Whether the person decides in this queue."""
    if not person.may(Right.VERIFY):
        return False
    if about.kind == Kind.DISPUTE:
        return person.may(Right.DECIDE)
    return not about.people or person.name in about.people
