from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation.plan import manifests
from moderation.plan.manifests import ManifestError
from moderation.reference import limits

ODD = [
    "s3://b/a b.jpg",
    "s3://b/#1 50%.jpg",
    "s3://b/plus+.jpg",
    "s3://b/\"q'.jpg",
    "s3://b/new\nline.jpg",
    "s3://b/back\\slash.jpg",
    "s3://b/\U0001f600.jpg",
    "s3://b/e\u0301.jpg",
    "s3://b/line\u2028separator\x85.jpg",
    "s3://b/control\x01.jpg",
    "s3://b/" + "k" * 1000,
]


def cut(refs, **options):
    return list(manifests.cut(refs, total=len(refs), **options))


def test_odd_keys_survive_and_each_stays_on_one_line():
    (manifest,) = cut(ODD)

    assert manifest.content.count(b"\n") == manifest.lines == len(ODD)
    assert manifests.parse(manifest.content, manifest.manifest_id) == ODD
    assert [json.loads(text)["source-ref"] for text in manifest.content.split(b"\n")[:-1]] == ODD


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30)))
def test_any_key_survives(keys):
    refs = [f"s3://b/{key}" for key in keys]

    assert [ref for manifest in cut(refs, max_lines=3) for ref in manifests.parse(manifest.content)] == refs


@pytest.mark.parametrize(
    ("total", "expected"),
    [(0, []), (1, [1]), (10_000, [10_000]), (10_001, [5001, 5000]), (25_000, [8334, 8334, 8332])],
)
def test_no_manifest_exceeds_10000_lines_and_all_are_nearly_even(total, expected):
    assert [manifest.lines for manifest in cut([f"s3://b/{i}" for i in range(total)])] == expected


def test_no_manifest_exceeds_50_mb():
    refs = [f"s3://b/{i:05d}" + "\x01" * 1000 for i in range(10_000)]

    found = cut(refs)

    assert len(found) == 2
    assert all(len(manifest.content) <= limits.MANIFEST_MAX_BYTES for manifest in found)
    assert sum(manifest.lines for manifest in found) == 10_000


def test_the_same_pictures_give_the_same_names():
    assert [m.manifest_id for m in cut(ODD, max_lines=4)] == [m.manifest_id for m in cut(ODD, max_lines=4)]
    assert cut(ODD)[0].manifest_id.startswith("m00000-")
    assert cut(ODD)[0].manifest_id != cut(ODD[1:])[0].manifest_id


def test_every_single_damaged_byte_is_noticed():
    (manifest,) = cut(ODD[:3])

    for position in range(len(manifest.content)):
        damaged = bytearray(manifest.content)
        damaged[position] ^= 1
        with pytest.raises(ManifestError, match="changed after it was planned"):
            manifests.parse(bytes(damaged), manifest.manifest_id)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"source-ref":"s3://b/a"}\n{"source-ref":"s3://b/a"', "line 2: cut off"),
        (b'{"source-ref":"s3://b/a"}\nnot json\n', "line 2: expected"),
        (b'{"source":"s3://b/a"}\n', "line 1: expected"),
        (b"[1]\n", "line 1: expected"),
        (b'{"source-ref":7}\n', "line 1: source-ref"),
        (b'{"source-ref":"/a.jpg"}\n', "line 1: source-ref"),
        (b"\n", "line 1: expected"),
    ],
)
def test_a_bad_line_is_an_error_that_names_it(content, says):
    with pytest.raises(ManifestError, match=says):
        manifests.parse(content)


def test_more_lines_than_aws_takes_are_refused():
    with pytest.raises(ValueError, match="max_lines"):
        cut(["s3://b/a"], max_lines=10_001)
