"""From a label and its ancestors in one answer to its place in the tables.

Pure functions of names and levels: an archive of millions of labels has a few hundred distinct chains, so
each is resolved once (`resolve` is cached) and `read_answers` spreads the result over the rows.
The row forms are stated in `moderation.schema`.
"""

from __future__ import annotations

import csv
import re
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

from moderation import reference
from moderation.reference.taxonomy import from_v6_1, normalise, taxonomy

DEEPEST = 3
"""The deepest level that has a table: a label below it is a row of that table."""


class Link(NamedTuple):
    """A label as answered: one link of a chain.

    :param level: from 1, or None when the answer gave no usable level.
    """

    name: str
    parent_name: str | None
    level: int | None


class Place(NamedTuple):
    """Where a label stands; the fields are the columns of the label tables that depend on the chain alone.

    :param level: which label table.
    :param depth: the label's own level; more than `DEEPEST` with models that have more levels than tables.
    :param l3: of a label below `DEEPEST` its third-level ancestor.
    """

    level: int
    depth: int
    l1: str | None
    l2: str | None
    l3: str | None
    name: str
    parent_name: str | None
    unknown_label: bool
    respelled: bool
    path_derived: bool
    level_derived: bool
    v7_l1: str | None
    v7_l2: str | None
    v7_l3: str | None
    v7_ambiguous: bool


_Path = tuple[str | None, ...]


class Standing(NamedTuple):
    """A label's place, and what the labels below it need of it.

    :param above: the names of levels 1 to `DEEPEST` from the top to the label, as answered or derived; None
        for what nobody knows.
    :param spelled: the label in the taxonomy's spelling.
    """

    place: Place
    above: _Path
    spelled: str | None


@lru_cache(maxsize=65_536)
def resolve(label: Link, parent: Standing | None, model_version: str | None) -> Standing:
    """Place a label below its parent, and so below everything that stands above that one.

    :param parent: where its parent stands; None when the answer does not list it.
    :param model_version: ModerationModelVersion of the answer: before 7 names are those of model 6.1.
    """
    tree = _V61 if is_before_7(model_version) else _V7
    depth = _depth(label, parent, tree)
    above = parent.above if parent else _derive_above(label, depth, tree)
    above += (None,) * (min(depth - 1, DEEPEST) - len(above))
    path = (*above, label.name)
    spelled = tuple(tree.spell(path[: at + 1]) for at in range(len(path)))
    v7_path, v7_ambiguous = tree.bridge(path)
    l1, l2, l3 = _padded(spelled)
    place = Place(
        min(depth, DEEPEST),
        depth,
        l1,
        l2,
        l3,
        name=label.name,
        parent_name=label.parent_name,
        unknown_label=not tree.knows(path),
        respelled=spelled != path
        or (parent is not None and (parent.place.respelled or parent.spelled != label.parent_name)),
        path_derived=depth > 1
        and (parent is None or parent.place.path_derived or parent.place.depth < depth - 1),
        level_derived=label.level != depth,
        v7_l1=_padded(v7_path)[0],
        v7_l2=_padded(v7_path)[1],
        v7_l3=_padded(v7_path)[2],
        v7_ambiguous=v7_ambiguous,
    )
    return Standing(place, path[:DEEPEST], spelled[-1])


def is_before_7(model_version: str | None) -> bool:
    """True for "6.1" and older; versions of other makers ("offline-1.0") use taxonomy 7.0."""
    return re.match(r"0*[0-6](\.|$)", model_version or "") is not None


def _depth(label: Link, parent: Standing | None, tree: _Tree) -> int:
    """The label's own level: as answered, but never above what the answer lists above it."""
    if parent is not None:
        return max(label.level or 1, parent.place.depth + 1)
    if label.level is not None and (label.level <= DEEPEST or label.parent_name is not None):
        return label.level
    if label.parent_name is None:
        return 1
    # The answer is trimmed above the label: the taxonomy may know how deep that is.
    return tree.level_of(label.name, label.parent_name) or (tree.level_of(label.parent_name, None) or 1) + 1


def _derive_above(label: Link, depth: int, tree: _Tree) -> _Path:
    """What stands above a label whose parent is not listed; what nobody knows is None."""
    if depth == 1:
        return ()
    parent = label.parent_name or tree.parent_of(label.name)
    known: list[str] = []
    while parent is not None and len(known) < depth - 1:
        known.insert(0, parent)
        parent = tree.parent_of(parent)
    unknown = (None,) * (depth - 1 - len(known))
    from_the_top = bool(known) and tree.level_of(known[0], None) == 1
    path = (*known, *unknown) if from_the_top else (*unknown, *known)
    return path[:DEEPEST]


def _padded(path: _Path) -> tuple[str | None, str | None, str | None]:
    l1, l2, l3, *_ = (*path, None, None, None)
    return l1, l2, l3


class _V7Tree:
    """Taxonomy 7.0: a name fixes its level and path."""

    def level_of(self, name: str, parent_name: str | None) -> int | None:
        node = taxonomy().lookup(name)
        return node.level if node else None

    def parent_of(self, name: str) -> str | None:
        node = taxonomy().lookup(name)
        return node.parent or None if node else None

    def knows(self, path: _Path) -> bool:
        node = taxonomy().lookup(path[-1]) if path[-1] else None
        return node is not None and node.level == len(path)

    def spell(self, path: _Path) -> str | None:
        node = taxonomy().lookup(path[-1]) if path[-1] else None
        return node.name if node is not None and node.level == len(path) else path[-1]

    def bridge(self, path: _Path) -> tuple[_Path, bool]:
        """The taxonomy's path of the label, or of its nearest ancestor that the taxonomy knows."""
        for length in range(len(path), 0, -1):
            node = taxonomy().lookup(path[length - 1] or "")
            if node is not None and node.level == length:
                return node.path, False
        return (), False


class _V61Tree:
    """Taxonomy 6.1: two levels; names may be used at both ("Gambling")."""

    def level_of(self, name: str, parent_name: str | None) -> int | None:
        names = _v61_names()
        if parent_name is not None:
            return 2 if from_v6_1(parent_name, name) else None
        return 1 if (normalise(name),) in names else None

    def parent_of(self, name: str) -> str | None:
        parents = {path[0] for key, path in _v61_names().items() if key[1:] == (normalise(name),)}
        return parents.pop() if len(parents) == 1 else None

    def knows(self, path: _Path) -> bool:
        return _v61_key(path) in _v61_names()

    def spell(self, path: _Path) -> str | None:
        known = _v61_names().get(_v61_key(path))
        return known[-1] if known else path[-1]

    def bridge(self, path: _Path) -> tuple[_Path, bool]:
        """What all of AWS's targets have in common, and whether they differ."""
        targets = _v61_targets(_v61_key(path)) or _v61_targets(_v61_key(path[:1]))
        if not targets:
            return (), False
        common = []
        for names in zip(*targets, strict=False):
            if len(set(names)) > 1:
                break
            common.append(names[0])
        # Level 1 of 6.1 asks for a level 1 of 7.0, however deep its children land.
        common = common[:1] if len(path) == 1 else common
        differ = len({target[:1] for target in targets} if len(path) == 1 else set(targets)) > 1
        return tuple(common), differ


_Tree = _V7Tree | _V61Tree
_V7 = _V7Tree()
_V61 = _V61Tree()


def _v61_key(path: _Path) -> tuple[str, ...]:
    return tuple(normalise(name or "") for name in path)


@lru_cache(maxsize=1)
def _v61_names() -> dict[tuple[str, ...], tuple[str, ...]]:
    """Every path of model 6.1, normalised, with its own spelling."""
    names: dict[tuple[str, ...], tuple[str, ...]] = {}
    mapping = resources.files(reference).joinpath("data", "mapping_v6_1_to_v7.csv")
    with mapping.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            path = (row["v61_l1"], row["v61_l2"])
            names.setdefault(_v61_key(path[:1]), path[:1])
            names.setdefault(_v61_key(path), path)
    return names


@lru_cache(maxsize=256)
def _v61_targets(key: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    paths = [path for known, path in _v61_names().items() if known[: len(key)] == key and len(path) == 2]
    return tuple(dict.fromkeys(target.path for l1, l2 in paths for target in from_v6_1(l1, l2)))
