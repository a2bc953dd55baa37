"""What became of the verdicts that a set was made of: taken back, changed, contradicted or erased since.

Exact by lineage: a set keeps what it took each image for and the ids of the verdicts that said so, and the
log says what people together say of the same contents now.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from moderation.adapters.sets.decided import Decided
from moderation.adapters.sets.store import StoredSet
from moderation.adapters.sets.training_set import TESTING, TRAINING, Picture, names_of, outcomes_of
from moderation.adapters.sets.verdicts import decide
from moderation.review.log import VerdictLog


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image of a set about which people say something else by now.

    :param taken_back: ids of the verdicts that it was taken by and that do not stand any more.
    :param new: ids of those that stand now and did not then.
    :param then: the labels that it was taken to have.
    :param now: those it has by now; None where people have not decided, or do not agree, about each.
    """

    content: str
    source_ref: str
    part: str
    taken_back: tuple[str, ...]
    new: tuple[str, ...]
    then: tuple[str, ...]
    now: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class Since:
    """All that changed in a set's truth since it was made.

    :param images: those whose truth is another by now; what only was confirmed is none of them.
    :param truths: by content of those that test, what people say by now of each label that they decided.
    :param totals: by part, of how many images.
    :param erased: by part, how many images were erased.
    """

    project: str
    labels: tuple[str, ...]
    images: tuple[Image, ...]
    truths: Mapping[str, Mapping[str, bool]]
    totals: Mapping[str, int]
    erased: Mapping[str, int]

    def of(self, part: str) -> list[Image]:
        """Those that train, or that test."""
        return [image for image in self.images if image.part == part]

    @cached_property
    def digest(self) -> str:
        """Stands for what is said of the changed test images; "" where none changed."""
        told = [
            [image.content, image.taken_back, image.new, dict(self.truths[image.content])]
            for image in self.of(TESTING)
        ]
        if not told:
            return ""
        return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def lines(self, command: str) -> list[str]:
        """What changed and what to do, a sentence each; none where nothing did.

        :param command: how `moderation` is called here.
        """
        words = shlex.join(self.labels)
        again = f"`{command} adapter train {words} --project {self.project} --max-cost-usd USD`"
        told = []
        if found := self.of(TRAINING):
            told.append(
                f"the verdicts on {len(found):,} of the {self.totals[TRAINING]:,} images that it was trained "
                f"on were changed or taken back since: train again, {again}"
            )
        if number := self.erased.get(TRAINING, 0):
            told.append(
                f"{number:,} images that it was trained on were erased since, and it cannot unlearn them: "
                f"train again, {again}"
            )
        if found := self.of(TESTING):
            told.append(f"{self.told_of_tests()}: train again to be tested on what people say now, {again}")
        return told

    def told_of_tests(self) -> str:
        """How many test images changed."""
        return (
            f"the verdicts on {len(self.of(TESTING)):,} of the {self.totals[TESTING]:,} images that it was "
            "tested on were changed or taken back since"
        )

    def record(self) -> dict[str, Any]:
        """Numbers and digest, for what outlives an erasure: it names no image."""
        return {
            "training": len(self.of(TRAINING)),
            "testing": len(self.of(TESTING)),
            "digest": self.digest,
        }

    def listed(self) -> dict[str, Any]:
        """All of it, for JSON that is read at once and kept nowhere."""
        return self.record() | {"erased": dict(self.erased), "images": [vars(one) for one in self.images]}


def look(log: VerdictLog, stored: StoredSet) -> Since:
    """What changed since a set was made.

    :raises moderation.review.state.faults.StateError: the state cannot be read.
    """
    contents = stored.contents
    rows = log.of_contents([picture.content for picture in contents.pictures])
    now = {entry.content: entry for entry in decide((row for row in rows if row.content), {})}
    nobody = Decided(content="", source_ref="")
    images, truths = [], {}
    for picture in contents.pictures:
        entry = now.get(picture.content, nobody)
        if (image := _changed(picture, entry, contents.annotated, contents.rule)) is not None:
            images.append(image)
            if picture.part == TESTING:
                truths[picture.content] = outcomes_of(entry)
    gone = list(contents.erased.values())
    return Since(
        project=stored.project,
        labels=contents.labels,
        images=tuple(images),
        truths=truths,
        totals={part: len(contents.part(part)) for part in (TRAINING, TESTING)},
        erased={part: gone.count(part) for part in (TRAINING, TESTING)},
    )


def _changed(
    picture: Picture, entry: Decided, annotated: Collection[str], rule: Mapping[str, Any]
) -> Image | None:
    names = None
    if all(entry.is_decided(label) for label in annotated):
        names = names_of(entry, annotated, ancestors=bool(rule.get("ancestors", True)))
    said = outcomes_of(entry)
    if names == picture.names and all(said.get(label) is told for label, told in picture.outcomes.items()):
        return None
    before, after = set(picture.verdicts), set(entry.verdicts)
    return Image(
        content=picture.content,
        source_ref=picture.source_ref,
        part=picture.part,
        taken_back=tuple(sorted(before - after)),
        new=tuple(sorted(after - before)),
        then=picture.names,
        now=names,
    )
