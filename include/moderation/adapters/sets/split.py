"""Which images train and which ones test: whole clusters of near-duplicates, and the test set only grows."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from moderation.adapters.sets.decided import Decided
from moderation.variables.adapters import AdapterSettings

MOST_TRAINING_IMAGES = 10_000
"""AWS's limit of a training set (developer guide, "Custom Moderation")."""

_TEST_SHARE = 0.2
"""Of each kind of image; AWS takes as much where it splits by itself."""

NEAR_TEST = "nearly the same as an image of the frozen test set"
ENOUGH_NEGATIVES = "not needed: there are enough images without a trained label"
TOO_MANY = f"not needed: a training set holds {MOST_TRAINING_IMAGES:,} images"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is trained, and by which rules.

    :param labels: of the taxonomy, sorted.
    :param thresholds: from which confidence each counts as flagged.
    """

    labels: tuple[str, ...]
    thresholds: Mapping[str, float]
    rule: AdapterSettings

    def has_any(self, entry: Decided) -> bool:
        """Whether a trained label is right."""
        return any(entry.has(label) for label in self.labels)

    def is_false_alarm(self, entry: Decided, label: str) -> bool:
        """Whether the base model is wrong with a label that is not there."""
        return entry.answered and not entry.has(label) and entry.is_flagged(label, self.thresholds[label])

    def is_missed(self, entry: Decided, label: str) -> bool:
        """Whether the base model does not find a label that is there."""
        return entry.answered and entry.has(label) and not entry.is_flagged(label, self.thresholds[label])

    def is_quiet(self, entry: Decided) -> bool:
        """Whether no trained label is right, and the base model says none."""
        alarms = (self.is_false_alarm(entry, label) for label in self.labels)
        return not self.has_any(entry) and not any(alarms)

    def confidence(self, entry: Decided) -> float:
        """How near the base model came to a trained label."""
        return max((entry.confidences.get(label, 0.0) for label in self.labels), default=0.0)


@dataclass(frozen=True, kw_only=True)
class TestCount:
    """What the test set has of a label, and what a comparison needs.

    :param informative: test images with the label, or wrongly flagged with it.
    """

    label: str
    informative: int
    informative_needed: int
    others: int
    others_needed: int

    @property
    def is_enough(self) -> bool:
        """Whether the comparison can show something."""
        return self.informative >= self.informative_needed and self.others >= self.others_needed


@dataclass(kw_only=True)
class Split:
    """The contents of both parts, sorted, and why others are in neither."""

    training: list[str] = field(default_factory=list)
    testing: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def split(
    entries: Sequence[Decided],
    cluster_of: Mapping[str, str],
    question: Question,
    *,
    frozen: Collection[str] = (),
) -> Split:
    """Divide decided contents; the same ones are divided in the same way, whatever their order.

    :param cluster_of: see :func:`moderation.adapters.sets.near.clusters`.
    :param frozen: contents that tested before: they test again, and nothing near to them trains.
    """
    done = Split()
    groups: dict[str, list[Decided]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.content):
        groups[cluster_of[entry.content]].append(entry)
    tested = {cluster_of[content] for content in frozen if content in cluster_of}
    testing: list[Decided] = []
    free: dict[str, list[Decided]] = {}
    for cluster, members in groups.items():
        if cluster not in tested:
            free[cluster] = members
            continue
        testing += [entry for entry in members if entry.content in frozen]
        done.left_out |= {entry.content: NEAR_TEST for entry in members if entry.content not in frozen}
    for kind in _kinds(question):
        _move(kind, free, testing, question)
    training = _chosen([entry for members in free.values() for entry in members], question, done)
    done.training = sorted(entry.content for entry in training)
    done.testing = sorted(entry.content for entry in testing)
    return done


def count_tests(testing: Iterable[Decided], question: Question) -> list[TestCount]:
    """Tell, for each label, whether the test set is large enough for a comparison."""
    tests = list(testing)
    counts = []
    for label in question.labels:
        informative = sum(entry.has(label) or question.is_false_alarm(entry, label) for entry in tests)
        counts.append(
            TestCount(
                label=label,
                informative=informative,
                informative_needed=question.rule.test_positives,
                others=len(tests) - informative,
                others_needed=question.rule.test_negatives,
            )
        )
    return counts


@dataclass(frozen=True)
class _Kind:
    """A kind of image of which the test set needs some."""

    holds: Callable[[Decided], bool]
    needed: int


def _kinds(question: Question) -> list[_Kind]:
    kinds = []
    for label in question.labels:
        kinds += [
            _Kind(lambda entry, label=label: entry.has(label), question.rule.test_positives),  # type: ignore[misc]
            _Kind(
                lambda entry, label=label: question.is_false_alarm(entry, label),  # type: ignore[misc]
                question.rule.test_positives,
            ),
        ]
    return [*kinds, _Kind(question.is_quiet, question.rule.test_negatives)]


def _move(kind: _Kind, free: dict[str, list[Decided]], testing: list[Decided], question: Question) -> None:
    """Move clusters into the test set until it has enough of a kind, as long as there is enough to train."""
    sizes = {cluster: sum(map(kind.holds, members)) for cluster, members in free.items()}
    there = sum(map(kind.holds, testing))
    target = max(kind.needed, _TEST_SHARE * (there + sum(sizes.values())))
    # A cluster that alone would be most of the test set comes last; else chance decides, the same each time.
    turn = sorted(
        (cluster for cluster, size in sizes.items() if size),
        key=lambda cluster: (sizes[cluster] > 2 * target, hashlib.sha256(cluster.encode()).digest()),
    )
    left = _Left(free, question)
    for cluster in turn:
        if there >= target:
            return
        if left.can_spare(free[cluster]):
            left.take(free[cluster])
            testing += free.pop(cluster)
            there += sizes[cluster]


class _Left:
    """Counts the errors that stay in the training set, so that each label stays eligible."""

    def __init__(self, free: Mapping[str, list[Decided]], question: Question) -> None:
        self._question = question
        self._counts = self._of(entry for members in free.values() for entry in members)

    def can_spare(self, members: Iterable[Decided]) -> bool:
        rule = self._question.rule
        gone = self._of(members)
        for label, (missed, alarms) in self._counts.items():
            lost_missed, lost_alarms = gone[label]
            enough = (
                missed - lost_missed >= rule.min_false_negatives,
                alarms - lost_alarms >= rule.min_false_positives,
            )
            suffices = all(enough) if rule.minimum == "both" else any(enough)
            if (lost_missed or lost_alarms) and not suffices:
                return False
        return True

    def take(self, members: Iterable[Decided]) -> None:
        for label, (missed, alarms) in self._of(members).items():
            before = self._counts[label]
            self._counts[label] = (before[0] - missed, before[1] - alarms)

    def _of(self, entries: Iterable[Decided]) -> dict[str, tuple[int, int]]:
        counts = dict.fromkeys(self._question.labels, (0, 0))
        for entry in entries:
            for label, (missed, alarms) in counts.items():
                counts[label] = (
                    missed + self._question.is_missed(entry, label),
                    alarms + self._question.is_false_alarm(entry, label),
                )
        return counts


def _chosen(entries: list[Decided], question: Question, done: Split) -> list[Decided]:
    """All with a trained label, all false alarms, and other images in proportion, the hardest first."""
    with_label = [entry for entry in entries if question.has_any(entry)]
    others = [entry for entry in entries if not question.has_any(entry)]
    alarms = [
        entry for entry in others if any(question.is_false_alarm(entry, label) for label in question.labels)
    ]
    wrong = {entry.content for entry in alarms}
    quiet = sorted(
        (entry for entry in others if entry.content not in wrong),
        key=lambda entry: (-question.confidence(entry), hashlib.sha256(entry.content.encode()).digest()),
    )
    errors = len(with_label) + len(alarms)
    room = max(0, round(question.rule.negatives_per_positive * errors) - len(alarms))
    done.left_out |= {entry.content: ENOUGH_NEGATIVES for entry in quiet[room:]}
    chosen = [*with_label, *alarms, *quiet[:room]]
    done.left_out |= {entry.content: TOO_MANY for entry in chosen[MOST_TRAINING_IMAGES:]}
    return chosen[:MOST_TRAINING_IMAGES]
