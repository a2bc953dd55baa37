from __future__ import annotations

import pytest

from moderation.reference.definitions import definition
from moderation.reference.taxonomy import taxonomy


@pytest.mark.parametrize("name", [node.name for node in taxonomy()])
def test_every_label_is_explained_in_one_sentence(name):
    text = definition(name)
    assert text.endswith(".")
    assert text == definition(name.upper())


def test_an_unknown_label_is_not_explained():
    assert definition("Weather") == ""


def test_no_two_labels_mean_the_same():
    texts = [definition(node.name) for node in taxonomy()]
    assert len(set(texts)) == len(texts)
