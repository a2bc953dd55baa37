from __future__ import annotations

import pytest

from moderation.reference import taxonomy


def test_version_7_has_10_20_and_22_labels():
    tree = taxonomy.taxonomy()

    assert len(tree) == 52
    assert [sum(node.level == level for node in tree) for level in (1, 2, 3)] == [10, 20, 22]
    assert len(tree.l1s()) == 10


def test_a_name_fixes_its_path():
    node = taxonomy.taxonomy().lookup("Pills")

    assert node is not None
    assert node.path == ("Drugs & Tobacco", "Products", "Pills")
    assert (node.level, node.parent) == (3, "Products")


@pytest.mark.parametrize(
    "name",
    [
        "drugs & tobacco paraphernalia & use",
        "Drug & Tobacco Paraphernalia & Use",
        "Drugs and Tobacco Paraphernalia and Use",
        "DRUGS & TOBACCO  PARAPHERNALIA & USE",
    ],
)
def test_the_differences_in_awss_own_texts_do_not_matter(name):
    node = taxonomy.taxonomy().lookup(name)

    assert node is not None
    assert node.name == "Drugs & Tobacco Paraphernalia & Use"


@pytest.mark.parametrize("name", ["", "Nudity", "Explicit Nud", "Non-Explicit", "Barechested Male"])
def test_a_name_that_is_not_in_the_taxonomy_is_unknown(name):
    assert taxonomy.taxonomy().lookup(name) is None


def test_explicit_is_not_found_inside_non_explicit():
    explicit, non_explicit = (
        taxonomy.taxonomy().lookup(name) for name in ("Explicit Nudity", "Non-Explicit Nudity")
    )

    assert explicit is not None
    assert non_explicit is not None
    assert explicit.path[0] != non_explicit.path[0]


def test_gambling_has_no_children_and_violence_has_two():
    tree = taxonomy.taxonomy()

    assert tree.children("Gambling") == ()
    assert [node.name for node in tree.children("violence")] == ["Weapons", "Graphic Violence"]


def test_labels_of_model_6_1_are_bridged_by_awss_mapping():
    (pills,) = taxonomy.from_v6_1("Drugs", "Pills")
    split = taxonomy.from_v6_1("Suggestive", "Revealing Clothes")

    assert pills.path == ("Drugs & Tobacco", "Products", "Pills")
    assert [place.path[-1] for place in split] == ["Non-Explicit Nudity", "Obstructed Intimate Parts"]
    assert all(
        place.illustrated for place in taxonomy.from_v6_1("Explicit Nudity", "Illustrated Explicit Nudity")
    )
    assert taxonomy.from_v6_1("Gambling", "Gambling")[0].path == ("Gambling",)
    assert taxonomy.from_v6_1("Violence", "Pills") == ()


def test_every_place_the_bridge_leads_to_is_in_the_taxonomy():
    tree = taxonomy.taxonomy()

    for places in taxonomy._bridge().values():
        for place in places:
            node = tree.lookup(place.path[-1])
            assert node is not None
            assert node.path == place.path
