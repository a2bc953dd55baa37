"""What the manifests of a training say: which image shows which labels.

A line is ``{"source-ref": "s3://…", "content-moderation-groundtruth": {"ModerationLabels": [{"Name": …}]}}``
(developer guide, "Manifest files" of Custom Moderation). What is not annotated is absent, and a label brings
all that is above it. Messages are those that AWS publishes for the manifests of Custom Labels ("Debugging a
failed model training"); what they leave unsaid comes behind them.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from local_aws.inference.adapters.learned import ancestors
from local_aws.rekognition.images.objects import Source
from local_aws.rekognition.jobs import manifest
from moderation.reference.taxonomy import taxonomy

GROUND_TRUTH: Final = "content-moderation-groundtruth"
_TEST_SHARE: Final = 5
"""Of AutoCreate, one image in so many becomes a test image (developer guide: "a random 20 percent")."""


class TrainingFailed(Exception):
    """Ends a training with TRAINING_FAILED; the text is its StatusMessage."""


@dataclass(frozen=True)
class Example:
    """One annotated image.

    :param number: its line in the manifest, from 1.
    :param labels: as annotated, in the taxonomy's spelling.
    :param annotation: the line's ground truth, as written.
    """

    number: int
    source_ref: str
    source: Source
    labels: tuple[str, ...]
    annotation: dict[str, Any]

    def shows(self, label: str) -> bool:
        """Whether the image shows a label: it or one below it is annotated."""
        return any(name == label or label in ancestors(name) for name in self.labels)


@dataclass(frozen=True)
class Sets:
    """The images to learn from and those to test with."""

    training: tuple[Example, ...]
    testing: tuple[Example, ...]


@dataclass(frozen=True)
class BadLine:
    """A line that says nothing to learn from; training goes on without it."""

    number: int
    code: str
    message: str
    source_ref: str | None = None


def read(paths: Iterable[Path], *, most_images: int, most_bytes: int) -> tuple[list[Example], list[BadLine]]:
    """Read manifests one after the other.

    :raises TrainingFailed: there are no lines or too many, they name several buckets, or a label is unknown.
    """
    examples: list[Example] = []
    bad: list[BadLine] = []
    lines = 0
    for path in paths:
        if path.stat().st_size > most_bytes:
            raise TrainingFailed("The manifest file size exceeds the maximum supported size.")
        for line, document in _documents(path):
            lines += 1
            if lines > most_images:
                raise TrainingFailed(
                    f"The manifest file has too many rows. The limit is {most_images} images."
                )
            read_line = _example(line, document)
            if isinstance(read_line, Example):
                examples.append(read_line)
            else:
                bad.append(read_line)
    if not lines:
        raise TrainingFailed("The manifest file is empty.")
    _check_one_bucket(examples)
    return examples, bad


def check_apart(training: Sequence[Example], testing: Sequence[Example]) -> None:
    """Check what holds for both sets together.

    :raises TrainingFailed: they lie in two buckets.
    """
    _check_one_bucket([*training, *testing])


def split(examples: Sequence[Example]) -> Sets:
    """Split as ``AutoCreate`` asks: one image in five is for testing, of each combination of labels.

    The same images are split alike whatever their order. All lines of one image come into the same set.
    """
    groups: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    seen: dict[str, tuple[str, ...]] = {}
    for example in examples:
        groups[seen.setdefault(example.source_ref, tuple(sorted(set(example.labels))))].add(
            example.source_ref
        )
    chosen: set[str] = set()
    carried = 0
    for _, refs in sorted(groups.items()):
        ordered = sorted(refs, key=lambda ref: hashlib.sha256(ref.encode()).digest())
        for ref in ordered:
            carried += 1
            if carried == _TEST_SHARE:
                chosen.add(ref)
                carried = 0
    return Sets(
        tuple(example for example in examples if example.source_ref not in chosen),
        tuple(example for example in examples if example.source_ref in chosen),
    )


def seal(path: Path) -> None:
    """Note a file's SHA-256 beside it."""
    path.with_suffix(".sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())


def is_whole(path: Path) -> bool:
    """Whether a file is there as it was sealed; a copy that is not is fetched again."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == path.with_suffix(".sha256").read_text()
    except (OSError, ValueError):
        return False


def _documents(path: Path) -> Iterator[tuple[manifest.Line, Any]]:
    with path.open("rb") as file:
        for line in manifest.read_lines(path):
            raw = file.read(line.end - file.tell())
            content = raw.rpartition(b"\n")[0] if raw.endswith(b"\n") else raw
            text = content.rpartition(b"\n")[2].removeprefix(b"\xef\xbb\xbf")
            yield line, None if line.problem else orjson.loads(text)


def _example(line: manifest.Line, document: Any) -> Example | BadLine:
    if line.problem or line.source_ref is None:
        code, message = line.problem or ("ERROR_MISSING_SOURCE_REF", "The line has no source-ref.")
        return BadLine(line.number, code, message, line.source_ref)
    annotation = document.get(GROUND_TRUTH)
    labels = annotation.get("ModerationLabels") if isinstance(annotation, dict) else None
    if not isinstance(labels, list) or not all(
        isinstance(label, dict) and isinstance(label.get("Name"), str) for label in labels
    ):
        text = f"The line has no {GROUND_TRUTH} with ModerationLabels, each with a Name."
        return BadLine(line.number, "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT", text, line.source_ref)
    names = []
    for label in labels:
        node = taxonomy().lookup(label["Name"])
        if node is None:
            raise TrainingFailed(
                f"The manifest file contains an invalid label. Line {line.number} names "
                f"{label['Name'][:200]!r}, which is no moderation label of model 7.0."
            )
        names.append(node.name)
    return Example(line.number, line.source_ref, Source(line.bucket, line.key), tuple(names), annotation)


def _check_one_bucket(examples: Iterable[Example]) -> None:
    buckets = sorted({example.source.bucket for example in examples})
    if len(buckets) > 1:
        raise TrainingFailed(
            f"The manifest file contains images from multiple S3 buckets. It names {', '.join(buckets[:5])}."
        )
