"""Seeded results files: ``python generate.py FOLDER --lines 400000 --files 40 [--dense]``.

A line in the usual set: 70 % no label, 20 % one chain, 10 % two or three; 15 % content types; 0.2 % errors
(half without an answer, half cut off). Dense: three to six chains and content types in every line.
"""

from __future__ import annotations

import argparse
import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spec import taxonomy

ERRORS, WITH_TYPES = 0.002, 0.15


class Generator:
    """Lines, the same for the same seed."""

    def __init__(self, seed: int, *, dense: bool) -> None:
        self._random = random.Random(seed)
        self._dense = dense
        entries = taxonomy()
        parents = {entry[f"l{entry['level'] - 1}"] for entry in entries if entry["level"] > 1}  # type: ignore[operator]
        # A chain ends in a leaf, or now and then above it: some answers stop at L2 or L1.
        self._ends = [entry for entry in entries for _ in range(1 if entry["name"] in parents else 4)]

    def lines(self, count: int) -> Iterator[bytes]:
        for number in range(count):
            yield self._line(number)

    def _line(self, number: int) -> bytes:
        draw = self._random.random
        month, day = self._random.randint(1, 12), self._random.randint(1, 28)
        token = self._random.getrandbits(64)
        ref = f"s3://photo-archive/uploads/2026/{month:02}/{day:02}/{token:016x}-{number:08}.jpg"
        error = draw()
        if error < ERRORS / 2:
            return json.dumps({"source-ref": ref}, separators=(",", ":")).encode()
        entry = {"source-ref": ref, "detect-moderation-labels": self._answer()}
        line = json.dumps(entry, separators=(",", ":")).encode()
        return line[: self._random.randint(len(ref) + 17, len(line) - 1)] if error < ERRORS else line

    def _answer(self) -> dict[str, Any]:
        draw = self._random.random()
        if self._dense:
            chains = self._random.randint(3, 6)
        else:
            chains = 0 if draw < 0.7 else 1 if draw < 0.9 else self._random.choice([2, 2, 3])
        listed: dict[str, dict[str, Any]] = {}
        for end in self._random.choices(self._ends, k=chains):
            confidence = self._confidence()
            for level in range(int(end["level"] or 0), 0, -1):
                name, parent = end[f"l{level}"], end[f"l{level - 1}"] if level > 1 else ""
                label = {"Confidence": confidence, "Name": name, "ParentName": parent, "TaxonomyLevel": level}
                listed.setdefault(str(name), label)
        return {
            "ModerationLabels": list(listed.values()),
            "ModerationModelVersion": "7.0",
            "ContentTypes": self._content_types(),
        }

    def _content_types(self) -> list[dict[str, Any]]:
        if not self._dense and self._random.random() >= WITH_TYPES:
            return []
        names = self._random.choice([["Animated"], ["Illustrated"], ["Animated", "Illustrated"]])
        return [{"Confidence": self._confidence(), "Name": name} for name in names]

    def _confidence(self) -> float:
        """A float32 printed as the double it is, as Rekognition does."""
        value = 50 + 50 * self._random.random()
        return float(struct.unpack("f", struct.pack("f", value))[0])


def generate(folder: Path, *, lines: int, files: int, dense: bool = False, seed: int = 7) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        made = Generator(seed * 1_000_003 + number, dense=dense).lines(lines // files)
        with (folder / f"m{number:05}.jsonl").open("wb") as file:
            file.writelines(line + b"\n" for line in made)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", type=int, required=True)
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    generate(**vars(arguments))
