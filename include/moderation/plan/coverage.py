"""When an answer that exists makes another analysis needless."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """A moderation model: its family and its version within the family.

    Rekognition's own versions are bare numbers ("7.0", family ""); the offline model says what it is
    ("offline-1.0", family "offline"). Answers of two families are never compared.
    """

    family: str
    version: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Model:
        """Read ``7.0`` or ``offline-1.0``; any other text is a family of its own, equal to itself only."""
        match = re.fullmatch(r"(?:(.+)-)?(\d{1,9}(?:\.\d{1,9})*)", text.strip())
        if match is None:
            return cls(text.strip(), ())
        return cls(match[1] or "", tuple(int(number) for number in match[2].split(".")))

    def at_least(self, other: Model) -> bool:
        """Whether this is the other's family and no older; 7 and 7.0 are the same."""
        return self.family == other.family and _trimmed(self.version) >= _trimmed(other.version)


def _trimmed(version: tuple[int, ...]) -> tuple[int, ...]:
    while version and version[-1] == 0:
        version = version[:-1]
    return version


@dataclass(frozen=True)
class Question:
    """What is asked about pictures.

    :param model_version: the least model whose answer will do.
    :param adapter: ARN of the adapter version, or None for the base model.
    :param min_confidence: labels below this percentage are not reported.
    :param retry_refused: ask again about pictures that were refused for their own sake.
    """

    model_version: str
    adapter: str | None
    min_confidence: float
    retry_refused: bool = False

    def is_answered_by(self, *, model_version: str, adapter: str | None, min_confidence: float) -> bool:
        """Whether an answer got with these values holds everything that is asked now.

        A lower threshold reported more labels, so it covers a higher one; the reverse does not hold.
        """
        return (
            Model.parse(model_version).at_least(Model.parse(self.model_version))
            and (adapter or "") == (self.adapter or "")
            and min_confidence <= self.min_confidence
        )
