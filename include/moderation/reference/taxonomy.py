"""Rekognition's moderation taxonomy 7.0 as data: 10 top categories, 20 second-level, 22 third-level labels.

Source: the table in the Rekognition developer guide, "Moderating content"; the bridge from model 6.1 is the
mapping that AWS published with version 7.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

VERSION = "7.0"
PATH_SIGN = " › "
"""Between the names of a label's path, where the path is one text."""


@dataclass(frozen=True)
class Node:
    """One label of the taxonomy.

    :param name: as AWS spells it.
    :param level: 1, 2 or 3.
    :param parent: name of the label above; "" at level 1, as in Rekognition's answers.
    :param path: the names from level 1 down to this label, ``level`` of them.
    """

    name: str
    level: int
    parent: str
    path: tuple[str, ...]


@dataclass(frozen=True)
class BridgedLabel:
    """Where AWS's mapping puts a label of model 6.1.

    :param path: names of taxonomy 7.0 from level 1 down.
    :param illustrated: the old label also said "drawn", which 7.0 reports as a content type.
    """

    path: tuple[str, ...]
    illustrated: bool


class Taxonomy:
    """Lookup of labels by name. Names are unique in 7.0, so a name fixes its path."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self.nodes = nodes
        self._by_name = {normalise(node.name): node for node in nodes}
        if len(self._by_name) != len(nodes):
            raise ValueError("two labels of the taxonomy differ by case or spelling only")

    def lookup(self, name: str) -> Node | None:
        """The label of that name in any case, or None when the taxonomy does not have it."""
        return self._by_name.get(normalise(name))

    def l1s(self) -> tuple[Node, ...]:
        """The ten top categories, in AWS's order."""
        return tuple(node for node in self.nodes if node.level == 1)

    def children(self, name: str) -> tuple[Node, ...]:
        """The labels right below ``name``."""
        parent = self.lookup(name)
        return tuple(node for node in self.nodes if parent is not None and node.parent == parent.name)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)


def normalise(name: str) -> str:
    """A label's name without the differences that AWS's own texts show.

    They vary in case, in "Drug"/"Drugs", and in "&"/"and". Nothing shorter than the whole name ever
    matches: "Explicit" is part of "Non-Explicit Nudity" and says the opposite.
    """
    words = name.casefold().replace("&", " and ").split()
    return " ".join("drugs" if word == "drug" else word for word in words)


@lru_cache(maxsize=1)
def taxonomy() -> Taxonomy:
    """Taxonomy 7.0."""
    rows = {row["name"]: row for row in _rows("taxonomy_v7.csv")}

    def path(name: str) -> tuple[str, ...]:
        parent = rows[name]["parent_name"]
        return (*path(parent), name) if parent else (name,)

    nodes = []
    for name, row in rows.items():
        names = path(name)
        if len(names) != int(row["taxonomy_level"]):
            raise ValueError(f"taxonomy_v7.csv: {name} is at level {row['taxonomy_level']} of {names}")
        nodes.append(Node(name=name, level=len(names), parent=row["parent_name"], path=names))
    return Taxonomy(tuple(nodes))


@lru_cache(maxsize=1)
def _bridge() -> dict[tuple[str, str], tuple[BridgedLabel, ...]]:
    bridge: dict[tuple[str, str], list[BridgedLabel]] = defaultdict(list)
    for row in _rows("mapping_v6_1_to_v7.csv"):
        path = tuple(row[column] for column in ("v7_l1", "v7_l2", "v7_l3") if row[column])
        target = BridgedLabel(path, illustrated=bool(row["v7_content_types"]))
        bridge[normalise(row["v61_l1"]), normalise(row["v61_l2"])].append(target)
    return {key: tuple(targets) for key, targets in bridge.items()}


def from_v6_1(l1: str, l2: str) -> tuple[BridgedLabel, ...]:
    """Where a second-level label of model 6.1 stands in taxonomy 7.0, by AWS's own mapping.

    Mostly one place; two where AWS split a label; none for a pair that 6.1 does not have. 6.1 uses some
    names twice ("Gambling" is both L1 and L2), hence both levels are asked for.
    """
    return _bridge().get((normalise(l1), normalise(l2)), ())


def _rows(file: str) -> list[dict[str, str]]:
    text = (Path(__file__).parent / "data" / file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
