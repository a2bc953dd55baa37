"""From decisions to the two manifests of a training: complete, divided, the same for the same verdicts."""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from moderation.adapters.sets import near
from moderation.adapters.sets.decided import Decided, spelled, with_ancestors
from moderation.adapters.sets.split import Question, TestCount, count_tests, split
from moderation.reference.taxonomy import taxonomy
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings

TRAINING, TESTING = "training", "testing"
CHANGED, GONE = "changed since its verdict", "gone"
_RULES = (
    "min_false_positives", "min_false_negatives", "minimum", "ancestors", "negatives_per_positive",
    "near_bits", "test_positives", "test_negatives",
)  # fmt: skip
"""The settings that a set depends on."""
_NOT_DECIDED = "needs a decision about {}"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image of a set.

    :param names: the labels of its ground truth; none for an image without.
    :param cluster: of near-duplicates, a number within the set.
    :param hash: of the picture, hexadecimal.
    :param verdicts: the ids of the verdicts that it comes from.
    :param outcomes: of a test image, whether each label that people decided about is there, trained or not.
    """

    content: str
    source_ref: str
    part: str
    names: tuple[str, ...]
    cluster: str
    hash: str
    verdicts: tuple[str, ...]
    outcomes: dict[str, bool] = field(default_factory=dict)

    def line(self, source_ref: str) -> bytes:
        """Its line of a manifest (developer guide, "Custom Moderation", manifest files)."""
        truth = {"ModerationLabels": [{"Name": name} for name in self.names]}
        return orjson.dumps({"source-ref": source_ref, "content-moderation-groundtruth": truth}) + b"\n"

    @property
    def seal(self) -> str:
        """Stands for the image in the set's digest; the ids of its verdicts keep it from being guessed."""
        return _sha256(asdict(self))


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """A set, as it was made.

    :param left_out: by content why it is in neither part.
    :param needs_decision: by label the contents about which people have not decided, or do not agree.
    :param rule: by which settings it was made.
    :param erased: of images that were taken out since, their seal and the part that they were of.
    :param sealed_rest: the seal of what is in neither part, from before something of it was erased.
    """

    labels: tuple[str, ...]
    annotated: tuple[str, ...]
    thresholds: dict[str, float]
    rule: dict[str, Any]
    pictures: tuple[Picture, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    needs_decision: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tests: tuple[TestCount, ...] = ()
    erased: dict[str, str] = field(default_factory=dict)
    sealed_rest: str | None = None

    @property
    def digest(self) -> str:
        """Names the set: the same verdicts, images and rules give the same, before and after an erasure."""
        return _sha256(
            {
                "labels": self.labels,
                "annotated": self.annotated,
                "thresholds": self.thresholds,
                "rule": self.rule,
                "images": sorted([*(picture.seal for picture in self.pictures), *self.erased]),
                "rest": self.sealed_rest or self._seal_of_rest(),
            }
        )

    def _seal_of_rest(self) -> str:
        return _sha256({"left_out": self.left_out, "needs_decision": self.needs_decision})

    def without(self, contents: Collection[str]) -> TrainingSet:
        """The set after an erasure of contents: itself when it held none of them."""
        gone = set(contents)
        taken = [picture for picture in self.pictures if picture.content in gone]
        told = set(self.left_out).union(*self.needs_decision.values())
        if not taken and not told & gone:
            return self
        return replace(
            self,
            pictures=tuple(picture for picture in self.pictures if picture.content not in gone),
            left_out={content: why for content, why in self.left_out.items() if content not in gone},
            needs_decision={
                label: tuple(content for content in found if content not in gone)
                for label, found in self.needs_decision.items()
            },
            erased=self.erased | {picture.seal: picture.part for picture in taken},
            sealed_rest=self.sealed_rest or self._seal_of_rest(),
        )

    def part(self, name: str) -> list[Picture]:
        """The images that train, or that test, by content."""
        return [picture for picture in self.pictures if picture.part == name]

    def manifest(self, part: str, places: Mapping[str, str]) -> bytes:
        """The lines of a part.

        :param places: where an image is, by content, if it is not where it was when people saw it.
        """
        return b"".join(
            picture.line(places.get(picture.content, picture.source_ref)) for picture in self.part(part)
        )

    def record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "labels": list(self.labels),
            "annotated": list(self.annotated),
            "thresholds": self.thresholds,
            "rule": self.rule,
            "images": [asdict(picture) for picture in self.pictures],
            "left_out": self.left_out,
            "needs_decision": {label: list(found) for label, found in self.needs_decision.items()},
            "tests": [asdict(count) for count in self.tests],
            "erased": self.erased,
            "sealed_rest": self.sealed_rest,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> TrainingSet:
        """Read :meth:`record`.

        :raises KeyError: something is missing, or :class:`TypeError`, of another form.
        """
        return cls(
            labels=tuple(record["labels"]),
            annotated=tuple(record["annotated"]),
            thresholds=dict(record["thresholds"]),
            rule=dict(record["rule"]),
            pictures=tuple(
                Picture(**{**one, "names": tuple(one["names"]), "verdicts": tuple(one["verdicts"])})
                for one in record["images"]
            ),
            left_out=dict(record["left_out"]),
            needs_decision={label: tuple(found) for label, found in record["needs_decision"].items()},
            tests=tuple(TestCount(**one) for one in record["tests"]),
            erased=dict(record["erased"]),
            sealed_rest=record["sealed_rest"],
        )

    def text(self) -> str:
        """What a person wants to know of it, a line each."""
        lines = [
            f"{len(self.part(part)):,} {part} images, "
            f"{sum(bool(picture.names) for picture in self.part(part)):,} with a label"
            for part in (TRAINING, TESTING)
        ]
        for part, number in sorted(Counter(self.erased.values()).items()):
            lines.append(f"{number:,} more {part} images were erased since it was made")
        for label, contents in sorted(self.needs_decision.items()):
            if not contents:
                continue
            verb = "images need" if len(contents) > 1 else "image needs"
            lines.append(f"{len(contents):,} {verb} a decision about {label}")
        if any(self.needs_decision.values()):
            command = f"{Settings.from_env().command} adapter queue {shlex.join(self.labels)}"
            lines.append(f"the queue of these: `{command}`")
        undecided = {content for contents in self.needs_decision.values() for content in contents}
        reasons = Counter(why for content, why in self.left_out.items() if content not in undecided)
        lines += [f"{number:,} left out: {why}" for why, number in sorted(reasons.items())]
        lines += [
            f"{count.label}: {count.informative} of {count.informative_needed} test images that can show an "
            f"improvement, {count.others} of {count.others_needed} others"
            + ("" if count.is_enough else "; the comparison will show too little")
            for count in self.tests
        ]
        return "\n".join(lines)


def build(
    decided: Sequence[Decided],
    hashes: Mapping[str, int],
    *,
    labels: Collection[str],
    rule: AdapterSettings,
    thresholds: Mapping[str, float] | None = None,
    default_threshold: float = 50.0,
    frozen: Mapping[str, int] | None = None,
    unusable: Mapping[str, str] | None = None,
) -> TrainingSet:
    """Make a set for some labels.

    What is not annotated counts as absent (developer guide, best practices), so an image is taken only if
    people decided about each of these labels and those above them.

    :param hashes: of the images by content; one without a hash cannot be placed and is left out.
    :param frozen: contents of earlier test sets with their hashes.
    :param unusable: by content why an image cannot be used: changed, gone, not to be decoded.
    :raises UnknownLabelError: a label is none of taxonomy 7.0.
    """
    wanted = spelled(labels)
    annotated = with_ancestors(wanted)
    question = Question(
        labels=wanted,
        thresholds={label: (thresholds or {}).get(label, default_threshold) for label in wanted},
        rule=rule,
    )
    left_out: dict[str, str] = {}
    needs: dict[str, list[str]] = defaultdict(list)
    complete: dict[str, Decided] = {}
    for entry in sorted(decided, key=lambda entry: (entry.content, entry.source_ref)):
        if entry.content in complete or entry.content in left_out:
            continue
        missing = [label for label in annotated if not entry.is_decided(label)]
        for label in missing:
            needs[label].append(entry.content)
        why = (unusable or {}).get(entry.content) or (missing and _NOT_DECIDED.format(", ".join(missing)))
        if why:
            left_out[entry.content] = why
        elif entry.content in hashes:
            complete[entry.content] = entry
    known = {**(frozen or {}), **{content: hashes[content] for content in complete}}
    cluster_of = near.clusters(known, within=rule.near_bits)
    done = split(list(complete.values()), cluster_of, question, frozen=set(frozen or ()))
    parts = {**dict.fromkeys(done.training, TRAINING), **dict.fromkeys(done.testing, TESTING)}
    numbers: dict[str, str] = {}
    pictures = tuple(
        Picture(
            content=content,
            source_ref=complete[content].source_ref,
            part=part,
            names=names_of(complete[content], annotated, ancestors=rule.ancestors),
            # A name made of a content would outlive the content's erasure.
            cluster=numbers.setdefault(cluster_of[content], str(len(numbers) + 1)),
            hash=f"{hashes[content]:032x}",
            verdicts=tuple(sorted(complete[content].verdicts)),
            outcomes=outcomes_of(complete[content]) if part == TESTING else {},
        )
        for content, part in sorted(parts.items())
    )
    return TrainingSet(
        labels=wanted,
        annotated=annotated,
        thresholds=dict(question.thresholds),
        rule={name: getattr(rule, name) for name in _RULES},
        pictures=pictures,
        left_out=dict(sorted((left_out | done.left_out).items())),
        needs_decision={label: tuple(contents) for label, contents in sorted(needs.items())},
        tests=tuple(count_tests([complete[content] for content in done.testing], question)),
    )


def _sha256(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()


def outcomes_of(entry: Decided) -> dict[str, bool]:
    """Whether each label that people agree about is there."""
    return {label: entry.has(label) for label in sorted(entry.outcomes) if entry.is_decided(label)}


def names_of(entry: Decided, annotated: Collection[str], *, ancestors: bool) -> tuple[str, ...]:
    """The labels of a ground truth that are right; without ancestors the deepest alone.

    A label that is wrong at level 3 and right at level 2 gives level 2, for each was decided by itself.
    """
    right = [label for label in annotated if entry.has(label)]
    if ancestors:
        return tuple(right)
    above = {name for label in right if (node := taxonomy().lookup(label)) for name in node.path[:-1]}
    return tuple(label for label in right if label not in above)
