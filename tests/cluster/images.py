"""The images of a run, each of a content of its own, and what Rekognition answers about them."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from cluster.servers import INPUT
from support import pictures
from support.hash_moderator import HashModerator

_JPEG = pictures.jpeg(80, 80)
_START = _JPEG[:2]


def content(name: str) -> bytes:
    """A JPEG of a comment that no other has: its bytes differ, and so does what is answered."""
    comment = name.encode()
    return _START + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + _JPEG[2:]


@dataclass(frozen=True)
class Images:
    """So many images in one folder of the input bucket.

    :param folder: its name.
    :param count: how many.
    """

    folder: str
    count: int
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """The source."""
        return f"s3://{INPUT}/{self.folder}"

    def upload(self, s3: Any) -> None:
        """Put them there, and keep what must be found of each in the end."""
        moderator = HashModerator()

        def put(number: int) -> tuple[str, str]:
            key = f"{self.folder}/{number // 1000:03}/{number:06}.jpg"
            body = content(key)
            s3.put_object(Bucket=INPUT, Key=key, Body=body)
            labels = moderator.moderate(body).labels
            return f"s3://{INPUT}/{key}", fact(
                (label.name, label.taxonomy_level, label.confidence) for label in labels
            )

        with ThreadPoolExecutor(8) as pool:
            self.facts.update(pool.map(put, range(self.count)))


def fact(labels: Any) -> str:
    """Labels of an image as text: name, level and confidence to three decimals, in the order of names."""
    return "; ".join(
        sorted(f"{name} L{level} {round(float(confidence), 3):.3f}" for name, level, confidence in labels)
    )


def digest(facts: dict[str, str]) -> str:
    """SHA-256 over all images and their labels."""
    lines = (f"{ref} {labels}\n".encode() for ref, labels in sorted(facts.items()))
    return hashlib.sha256(b"".join(lines)).hexdigest()
