"""What a browser sends becomes verdicts: stamped with who asks, the answer they saw, and their item."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from moderation.console.gate import Person, Right
from moderation.console.index.load_index import NoSuchLoadError
from moderation.console.shared import Shared
from moderation.console.tiles.kept import TILE
from moderation.console.verify.seen import Answer, by_line, by_number
from moderation.reference.content import subject_id
from moderation.reference.taxonomy import taxonomy
from moderation.review.queue import Item
from moderation.review.verdict import Purpose, Said, Subject, Verdict, VerdictError
from moderation.storage import s3_objects

MOST = 1_000
_OLDEST = timedelta(days=30)
_DRAWN = ("queue_id", "item_id", "design", "stratum", "inclusion_probability", "seed", "purpose")
_ID = r"^[0-9a-f]{32}$"


class Row(BaseModel):
    """One verdict as it is sent; the server adds the rest."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=_ID)
    subject: Literal["label", "content_type", "image"]
    label: str | None = Field(default=None, max_length=200)
    verdict: str = Field(max_length=20)
    note: str | None = Field(default=None, max_length=2_000)
    replaces: str | None = Field(default=None, pattern=_ID)


class Sent(BaseModel):
    """What a person says of one image.

    :param item: of a queue; None for one met by browsing.
    :param state: what becomes of the item: ``open`` puts it back.
    :param unseen: skipped because there was no image to look at.
    :param at: when they said so, milliseconds since 1970.
    """

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=_ID)
    item: str | None = Field(default=None, max_length=80)
    queue: str | None = Field(default=None, max_length=80)
    load: str = Field(max_length=80)
    n: int = Field(ge=0, lt=2**31)
    state: Literal["done", "skipped", "open"] = "done"
    unseen: bool = False
    at: float
    rows: list[Row] = Field(max_length=300)


class Batch(BaseModel):
    """Several answers, in the order in which they were given."""

    now: float = 0
    answers: list[Sent] = Field(max_length=MOST)


def take(shared: Shared, person: Person, batch: Batch) -> dict[str, Any]:
    """Keep what is sent. What cannot be kept is named, and the rest is kept.

    :returns: ``taken`` (ids of answers that are kept now) and ``refused`` (``id`` and ``why``).
    """
    queues = shared.review.queues
    items = {item.item_id: item for item in queues.items({sent.item for sent in batch.answers if sent.item})}
    stamp = Stamp(shared, person)
    answers = by_line(shared, items.values())
    met = _met_by_browsing(shared, batch.answers)
    times = _times([sent.at for sent in batch.answers], datetime.now(UTC))
    refused: list[dict[str, str]] = []
    ready: dict[str | None, list[tuple[Sent, list[Verdict]]]] = defaultdict(list)
    for sent, at in zip(batch.answers, times, strict=True):
        item = items.get(sent.item) if sent.item else None
        answer = answers.get(sent.item) if sent.item else met.get((sent.load, sent.n))
        why = _refusal(sent, item, answer, person)
        if why is None and answer is not None:
            try:
                verdicts = [stamp.verdict(row, item, answer, at) for row in sent.rows]
                sure = sent if not sent.unseen or _has_no_image(shared, answer) else _merely_skipped(sent)
                ready[item.queue_id if item else None].append((sure, verdicts))
            except VerdictError as error:
                why = str(error)
        if why is not None:
            refused.append({"id": sent.id, "why": why})
    taken: list[str] = []
    for those in ready.values():
        kept, not_kept = _kept(shared, those, person)
        taken += kept
        refused += not_kept
    _forget_severe(shared, batch.answers, answers, met)
    return {"taken": taken, "refused": refused}


def _forget_severe(
    shared: Shared,
    sent: Sequence[Sent],
    answers: dict[str, Answer],
    met: dict[tuple[str, int], Answer],
) -> None:
    """What is severe is hidden at once, and no small image of it stays."""
    for one in sent:
        answer = answers.get(one.item) if one.item else met.get((one.load, one.n))
        said = {row.verdict for row in one.rows}
        if said & {Said.SEVERE, Said.NOT_SEVERE, Said.WITHDRAWN}:
            shared.severe_changed()
        if Said.SEVERE in said and answer is not None:
            shared.tiles.forget(answer.row)


_Ready = tuple[Sent, list[Verdict]]


def _merely_skipped(sent: Sent) -> Sent:
    return sent.model_copy(update={"unseen": False})


def _has_no_image(shared: Shared, answer: Answer) -> bool:
    """Whether nobody can look at an image, as the server itself finds it; what passes is no reason."""
    try:
        return not shared.tiles.shown(answer.row, TILE).body
    except s3_objects.S3Unavailable:
        return False


def _kept(shared: Shared, those: Sequence[_Ready], person: Person) -> tuple[list[str], list[dict[str, str]]]:
    """Keep answers in one transaction; where one cannot be, each by itself.

    :returns: ids of answers that are kept, and those refused.
    """
    try:
        _keep(shared, those, person)
    except VerdictError as error:
        if len(those) == 1:
            return [], [{"id": those[0][0].id, "why": str(error)}]
        each = [_kept(shared, [one], person) for one in those]
        return [id_ for kept, _ in each for id_ in kept], [why for _, refused in each for why in refused]
    return [sent.id for sent, _ in those], []


def _keep(shared: Shared, those: Sequence[_Ready], person: Person) -> None:
    verdicts = [verdict for _, made in those for verdict in made]
    # The last word about an item counts: it may be decided, taken back and decided again in one batch.
    last = {
        sent.item: "unseen" if sent.unseen and sent.state == "skipped" else sent.state
        for sent, _ in those
        if sent.item
    }
    if not last:
        shared.review.log.append(verdicts)
        return
    of: dict[str, list[str]] = defaultdict(list)
    for item, state in last.items():
        of[state].append(item)
    shared.review.queues.submit(
        verdicts,
        of["done"],
        of["skipped"],
        reviewer=person.name,
        reopened=of["open"],
        unseen=of["unseen"],
    )


def _refusal(sent: Sent, item: Item | None, answer: Answer | None, person: Person) -> str | None:
    """Why an answer cannot be kept; None if it can."""
    if sent.item and item is None:
        return "its queue is no longer there"
    if answer is None:
        return "its image is no longer in a published load"
    if item is not None and item.purpose == Purpose.DISPUTE and not person.may(Right.DECIDE):
        return "disputes are decided by operators"
    if any(row.verdict == Said.NOT_SEVERE for row in sent.rows) and not person.may(Right.DECIDE):
        return "only operators show a severe image again"
    return None


def _met_by_browsing(shared: Shared, sent: Sequence[Sent]) -> dict[tuple[str, int], Answer]:
    of_load: dict[str, set[int]] = defaultdict(set)
    for one in sent:
        if one.item is None:
            of_load[one.load].add(one.n)
    told: dict[tuple[str, int], Answer] = {}
    for load_id, numbers in of_load.items():
        try:
            found = by_number(shared, load_id, sorted(numbers))
        except NoSuchLoadError:
            continue
        told |= {(load_id, n): answer for n, answer in found.items()}
    return told


def _times(sent: Sequence[float], now: datetime) -> Iterator[datetime]:
    """When each was said: never in the future, and each later than the one before.

    The newest row of a person counts, so two of the same moment would be a toss.
    """
    last = now - _OLDEST
    for at in sent:
        try:
            told = datetime.fromtimestamp(at / 1000, UTC)
        except (ValueError, OverflowError, OSError):
            told = now
        last = max(min(told, now), last + timedelta(microseconds=1))
        yield last


class Stamp:
    """What the server adds to a verdict. Thresholds, policy and queues are looked up once a batch."""

    def __init__(self, shared: Shared, person: Person) -> None:
        self._person = person
        self._queues = shared.review.queues
        self._thresholds = shared.thresholds()
        self._policy = shared.policy()
        self._blind: dict[str, bool] = {}

    def verdict(self, row: Row, item: Item | None, answer: Answer, at: datetime) -> Verdict:
        """The verdict that a row means.

        :param item: what it was seen as; None when it was met by browsing.
        :raises VerdictError: it says what cannot be said.
        """
        image = answer.row
        label, path = _named(row, answer)
        blind = item is not None and self._is_blind(item.queue_id)
        levels = (*path, None, None, None)
        return Verdict(
            verdict_id=row.id,
            decided_at=at,
            reviewer=self._person.name,
            content=subject_id(image["source_ref"], image["etag"], image["size_bytes"]),
            source_ref=image["source_ref"],
            etag=image["etag"],
            size_bytes=image["size_bytes"],
            subject=row.subject,
            label=label,
            level=len(path) or None,
            l1=levels[0],
            l2=levels[1],
            l3=levels[2],
            verdict=row.verdict,
            replaces=row.replaces,
            note=row.note or None,
            blind=blind,
            **({} if blind else self._seen(answer, label if path else None)),
            **(
                {"purpose": Purpose.TRAINING}
                if item is None
                else {name: getattr(item, name) for name in _DRAWN}
            ),
        )

    def _seen(self, answer: Answer, label: str | None) -> dict[str, Any]:
        """The answer that was on the screen, and what it said of the label."""
        image = answer.row
        asked = float(answer.load["min_confidence"] or 0.0)
        return {
            "load_id": answer.load["load_id"],
            "manifest_id": image["manifest_id"],
            "line_number": image["line_number"],
            "model_version": image["model_version"],
            "adapter": image["adapter"],
            "min_confidence": image["min_confidence"],
            "confidence": None if label is None else answer.confidence_of(label),
            "threshold": None if label is None else self._thresholds.of(label, asked=asked),
            "policy_decision": None if self._policy is None else answer.decision_by(self._policy),
        }

    def _is_blind(self, queue_id: str) -> bool:
        if queue_id not in self._blind:
            self._blind[queue_id] = self._queues.get(queue_id).spec.blind
        return self._blind[queue_id]


def _named(row: Row, answer: Answer) -> tuple[str | None, tuple[str, ...]]:
    """A label's name as the taxonomy has it, and its path; both empty where no label is meant."""
    if row.label is None or row.subject != Subject.LABEL:
        return row.label, ()
    node = taxonomy().lookup(row.label)
    if node is not None:
        return node.name, node.path
    listed = next((one for one in answer.labels if one["name"] == row.label), None)
    if listed is None:
        raise VerdictError(f"{row.label!r} is no label of the taxonomy, and not in the answer")
    return row.label, tuple(listed["path"].split(" › "))
