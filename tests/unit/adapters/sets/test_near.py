from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from moderation.adapters.sets import near
from support.decisions import picture


def distance(one: bytes, other: bytes) -> int:
    return (near.picture_hash(one) ^ near.picture_hash(other)).bit_count()


def test_the_same_picture_in_another_format_is_near_and_another_is_not() -> None:
    assert distance(picture("a"), picture("a", mark=200)) <= 2
    assert distance(picture("a"), picture("a", kind="JPEG")) <= 24
    assert distance(picture("a"), picture("b")) > 24


def test_what_is_transparent_is_white() -> None:
    shown = Image.new("RGBA", (90, 90), (0, 0, 0, 0))
    shown.paste((0, 0, 0, 255), (30, 30, 60, 60))
    made, flat = io.BytesIO(), io.BytesIO()
    shown.save(made, "PNG")
    white = Image.new("RGB", shown.size, "white")
    white.paste(shown, mask=shown.getchannel("A"))
    white.save(flat, "PNG")
    assert near.picture_hash(made.getvalue()) == near.picture_hash(flat.getvalue())


@pytest.mark.parametrize("damage", [b"", b"GIF89a", picture("a")[:60], picture("a")[:-200]])
def test_what_cannot_be_decoded_is_told(damage: bytes) -> None:
    with pytest.raises(near.UnreadablePictureError, match="cannot be decoded"):
        near.picture_hash(damage)


def test_a_chain_of_near_duplicates_is_one_cluster_whatever_the_order() -> None:
    base = random.Random(1).getrandbits(128)
    chain = {"c": base, "a": base ^ 0b111, "b": base ^ 0b111111, "far": ~base % 2**128}
    expected = {"a": "a", "b": "a", "c": "a", "far": "far"}
    assert near.clusters(chain, within=3) == expected
    assert near.clusters(dict(reversed(chain.items())), within=3) == expected
    assert len(set(near.clusters(chain, within=2).values())) == 4


def test_no_picture_is_no_cluster() -> None:
    assert near.clusters({}, within=24) == {}
