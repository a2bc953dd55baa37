from __future__ import annotations

import csv
from importlib import resources

import pytest

from moderation.flatten.label_paths import Link, Place, Standing, is_before_7, resolve
from moderation.reference.taxonomy import taxonomy


def place(*chain: tuple[str, str | None, int | None], model: str | None = "7.0") -> Place:
    standing: Standing | None = None
    for link in reversed(chain):
        standing = resolve(Link(*link), standing, model)
    assert standing is not None
    return standing.place


def flags(found: Place) -> set[str]:
    names = ("unknown_label", "respelled", "path_derived", "level_derived", "v7_ambiguous")
    return {name for name in names if getattr(found, name)}


@pytest.mark.parametrize("node", list(taxonomy()), ids=lambda node: node.name)
def test_every_label_of_the_taxonomy_stands_at_its_path_without_a_flag(node):
    links = [
        (name, node.path[depth - 1] if depth else None, depth + 1) for depth, name in enumerate(node.path)
    ]
    found = place(*reversed(links))
    assert [found.l1, found.l2, found.l3] == [*node.path, *[None] * (3 - node.level)]
    assert (found.v7_l1, found.v7_l2, found.v7_l3) == (found.l1, found.l2, found.l3)
    assert (found.level, flags(found)) == (node.level, set())


@pytest.mark.parametrize("node", list(taxonomy()), ids=lambda node: node.name)
def test_without_levels_the_same_places_are_derived_from_the_chain(node):
    links = [(name, node.path[depth - 1] if depth else None, None) for depth, name in enumerate(node.path)]
    found = place(*reversed(links))
    assert (found.l1, found.l2, found.l3) == (*node.path, *[None] * (3 - node.level))
    assert flags(found) == {"level_derived"}


@pytest.mark.parametrize(
    ("chain", "path", "expected"),
    [
        pytest.param(
            [("Weapon Violence", "Graphic Violence", 3)],
            ("Violence", "Graphic Violence", "Weapon Violence"),
            {"path_derived"},
            id="parent missing from a trimmed answer: the taxonomy completes the path",
        ),
        pytest.param(
            [("Weapon Violence", "Graphic Violence", 3), ("Graphic Violence", "Violence", 2)],
            ("Violence", "Graphic Violence", "Weapon Violence"),
            {"path_derived"},
            id="grandparent missing: named by the parent",
        ),
        pytest.param(
            [("Weapon Violence", None, 3)],
            ("Violence", "Graphic Violence", "Weapon Violence"),
            {"path_derived"},
            id="ParentName missing: the taxonomy knows the whole path",
        ),
        pytest.param(
            [("Laser Violence", "Graphic Violence", 3)],
            ("Violence", "Graphic Violence", "Laser Violence"),
            {"path_derived", "unknown_label"},
            id="unknown label below a known one",
        ),
        pytest.param(
            [("Laser Violence", None, 3)],
            (None, None, "Laser Violence"),
            {"path_derived", "unknown_label"},
            id="unknown label with a level and nothing else",
        ),
        pytest.param(
            [("Laser Violence", None, None)],
            ("Laser Violence", None, None),
            {"level_derived", "unknown_label"},
            id="unknown label with nothing at all is an L1",
        ),
        pytest.param(
            [("Laser Violence", "Space Crime", None)],
            ("Space Crime", "Laser Violence", None),
            {"level_derived", "path_derived", "unknown_label"},
            id="unknown label below an unknown parent is an L2",
        ),
        pytest.param(
            [("Laser Violence", "Graphic Violence", None)],
            ("Violence", "Graphic Violence", "Laser Violence"),
            {"level_derived", "path_derived", "unknown_label"},
            id="unknown label below a known L2 is an L3",
        ),
        pytest.param(
            [("weapons", "VIOLENCE", 2), ("VIOLENCE", None, 1)],
            ("Violence", "Weapons", None),
            {"respelled"},
            id="other case: the path has the taxonomy's spelling",
        ),
        pytest.param(
            [("Products", "Drug & Tobacco", 2)],
            ("Drugs & Tobacco", "Products", None),
            {"path_derived", "respelled"},
            id="AWS's own Drug for Drugs",
        ),
        pytest.param(
            [("Gambling", "Gambling", 2), ("Gambling", None, 1)],
            ("Gambling", "Gambling", None),
            {"unknown_label"},
            id="a known name at a level where 7.0 does not have it",
        ),
        pytest.param(
            [("Weapons", "Explicit", 2), ("Explicit", None, 1)],
            ("Explicit", "Weapons", None),
            set(),
            id="the answer's own chain comes before the taxonomy",
        ),
    ],
)
def test_labels_that_fit_no_textbook_are_kept_in_a_stated_form(chain, path, expected):
    found = place(*chain)
    assert (found.l1, found.l2, found.l3) == path
    assert flags(found) == expected
    assert found.name == chain[0][0]


def links_of(*names: str, levels: bool) -> list[tuple[str, str | None, int | None]]:
    """A chain from the label up, of these names from the top down."""
    parents = (None, *names)
    return [(name, parents[at], at + 1 if levels else None) for at, name in reversed(list(enumerate(names)))]


@pytest.mark.parametrize("levels", [True, False], ids=["with levels", "without levels"])
@pytest.mark.parametrize("depth", [4, 5, 9, 127, 300])
def test_however_deep_a_chain_is_l1_is_its_top_and_the_label_keeps_its_name(depth, levels):
    names = [f"N{at}" for at in range(1, depth + 1)]
    found = place(*links_of(*names, levels=levels))
    assert (found.l1, found.l2, found.l3) == ("N1", "N2", "N3")
    assert (found.level, found.depth, found.name) == (3, depth, f"N{depth}")
    assert found.parent_name == f"N{depth - 1}"
    assert flags(found) == {"unknown_label"} | (set() if levels else {"level_derived"})


@pytest.mark.parametrize(
    ("chain", "path", "depth", "expected"),
    [
        pytest.param(
            [("Knife Blade", "Knife", 4), ("Knife", "Weapons", 3)],
            ("Violence", "Weapons", "Knife"),
            4,
            {"unknown_label", "path_derived"},
            id="trimmed above: the taxonomy knows the top",
        ),
        pytest.param(
            [("Knife Blade", "Weapons", 4)],
            ("Violence", "Weapons", None),
            4,
            {"unknown_label", "path_derived"},
            id="a level is missing: the top is l1 and the gap is null",
        ),
        pytest.param(
            [("Knife Blade", "Knife", 4)],
            (None, None, "Knife"),
            4,
            {"unknown_label", "path_derived"},
            id="trimmed above an unknown name: nothing is invented",
        ),
        pytest.param(
            [("Laser Violence", "VIOLENCE", 3)],
            ("Violence", None, "Laser Violence"),
            3,
            {"unknown_label", "path_derived", "respelled"},
            id="an L3 right below an L1",
        ),
        pytest.param(
            [("Knife Blade", None, 4)],
            ("Knife Blade", None, None),
            1,
            {"unknown_label", "level_derived"},
            id="a level and no parent: nothing says what is above",
        ),
        pytest.param(
            [("C", "B", 2), ("B", "A", None), ("A", None, None)],
            ("A", "B", "C"),
            3,
            {"unknown_label", "level_derived"},
            id="the chain is longer than its level: the chain is believed",
        ),
    ],
)
def test_l1_is_the_top_also_where_levels_are_missing_or_contradict(chain, path, depth, expected):
    found = place(*chain)
    assert (found.l1, found.l2, found.l3) == path
    assert (found.depth, flags(found)) == (depth, expected)


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param(
            [
                ("Weapon Violence", "graphic violence", 3),
                ("graphic violence", "Violence", 2),
                ("Violence", None, 1),
            ],
            id="an L2 in another case",
        ),
        pytest.param(
            [
                ("Weapon Violence", "graphic violence", 3),
                ("Graphic Violence", "Violence", 2),
                ("Violence", None, 1),
            ],
            id="matched in another case",
        ),
        pytest.param([("Weapon Violence", "graphic violence", 3)], id="trimmed, named in another case"),
        pytest.param(
            [
                ("Weapon Violence", "Graphic Violence", 3),
                ("Graphic Violence", "violence", 2),
                ("violence", None, 1),
            ],
            id="an L1 in another case",
        ),
    ],
)
def test_a_label_below_a_respelled_one_says_so(chain):
    found = place(*chain)
    assert (found.l1, found.l2, found.l3) == ("Violence", "Graphic Violence", "Weapon Violence")
    assert "respelled" in flags(found)


@pytest.mark.parametrize(
    ("chain", "v7", "ambiguous"),
    [
        ([("Weapon Violence", "Violence", None)], ("Violence", "Graphic Violence", "Weapon Violence"), False),
        (
            [("Barechested Male", "Suggestive", None)],
            (
                "Non-Explicit Nudity of Intimate parts and Kissing",
                "Non-Explicit Nudity",
                "Exposed Male Nipple",
            ),
            False,
        ),
        ([("Nudity", "Explicit Nudity", None)], ("Explicit", "Explicit Nudity", None), True),
        (
            [("Revealing Clothes", "Suggestive", None)],
            ("Non-Explicit Nudity of Intimate parts and Kissing", None, None),
            True,
        ),
        ([("Explicit Nudity", None, None)], ("Explicit", None, None), False),
        ([("Suggestive", None, None)], (None, None, None), True),
        ([("Gambling", "Gambling", None), ("Gambling", None, None)], ("Gambling", None, None), False),
        (
            [("Explosions And Blasts", "Visually Disturbing", None)],
            ("Violence", "Graphic Violence", "Explosions and Blasts"),
            False,
        ),
    ],
    ids=lambda value: value[0][0] if isinstance(value, list) else None,
)
def test_labels_of_model_6_1_keep_their_names_and_get_their_path_of_7_0(chain, v7, ambiguous):
    found = place(*chain, model="6.1")
    assert (found.v7_l1, found.v7_l2, found.v7_l3, found.v7_ambiguous) == (*v7, ambiguous)
    parent = chain[0][1]
    assert (found.l1, found.l2) == ((parent, chain[0][0]) if parent else (chain[0][0], None))
    assert not found.unknown_label


def aws_mapping() -> dict[tuple[str, str], list[tuple[str, ...]]]:
    """AWS's file itself: where each second-level label of model 6.1 goes, as many targets as it has lines."""
    text = (
        resources.files("moderation.reference")
        .joinpath("data/mapping_v6_1_to_v7.csv")
        .read_text(encoding="utf-8")
    )
    targets: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for row in csv.DictReader(text.splitlines()):
        path = tuple(row[name] for name in ("v7_l1", "v7_l2", "v7_l3") if row[name])
        targets.setdefault((row["v61_l1"], row["v61_l2"]), []).append(path)
    return targets


@pytest.mark.parametrize(
    ("old", "targets"), aws_mapping().items(), ids=lambda value: " - ".join(map(str, value))
)
@pytest.mark.parametrize("listed", [True, False], ids=["with its parent", "trimmed"])
def test_every_line_of_awss_mapping_shows_in_the_columns_of_7_0(old, targets, listed):
    parent, name = old
    found = place((name, parent, None), *([(parent, None, None)] if listed else []), model="6.1")
    shared = [names[0] for names in zip(*targets, strict=False) if len(set(names)) == 1]
    assert (found.v7_l1, found.v7_l2, found.v7_l3) == tuple([*shared, None, None, None][:3])
    assert found.v7_ambiguous == (len(targets) > 1)
    assert (found.level, found.l1, found.l2, found.l3, found.name) == (2, parent, name, None, name)
    assert not found.unknown_label


@pytest.mark.parametrize("parent", sorted({parent for parent, _ in aws_mapping()}))
def test_every_top_category_of_6_1_gets_the_category_of_7_0_that_all_its_labels_have(parent):
    tops = {target[0] for old, targets in aws_mapping().items() if old[0] == parent for target in targets}
    found = place((parent, None, None), model="6.1")
    assert (found.v7_l1, found.v7_ambiguous) == ((tops.pop(), False) if len(tops) == 1 else (None, True))
    assert (found.level, found.l1, found.v7_l2, found.v7_l3) == (1, parent, None, None)


def test_awss_mapping_is_the_whole_one():
    targets = aws_mapping()
    assert len(targets) == 35
    assert {old for old, places in targets.items() if len(places) > 1} == {
        ("Explicit Nudity", "Nudity"),
        ("Explicit Nudity", "Illustrated Explicit Nudity"),
        ("Suggestive", "Revealing Clothes"),
    }
    known = {node.path for node in taxonomy()}
    assert all(path in known for places in targets.values() for path in places)


@pytest.mark.parametrize(
    ("model", "before"),
    [
        ("6.1", True),
        ("6", True),
        ("7.0", False),
        ("8.2", False),
        ("10.0", False),
        ("06.1", True),
        ("60", False),
        ("6" * 5000, False),  # more digits than Python makes a number of
        ("offline-1.0", False),
        (None, False),
    ],
)
def test_only_amazons_models_before_7_have_the_old_names(model, before):
    assert is_before_7(model) is before
