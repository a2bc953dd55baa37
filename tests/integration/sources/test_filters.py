from __future__ import annotations

from datetime import UTC, datetime

import pytest

from moderation.sources.base import SourceError
from moderation.sources.filters import Filtered
from moderation.sources.open import open_source

KEYS = ["a.jpg", "deep/b.jpg", "deep/thumbs/c.jpg", "d.PNG", "odd [1].jpg"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*.jpg", {"a.jpg", "deep/b.jpg", "deep/thumbs/c.jpg", "odd [1].jpg"}),
        ("*.jpg, *.PNG", set(KEYS)),
        ("!*/thumbs/*", {"a.jpg", "deep/b.jpg", "d.PNG", "odd [1].jpg"}),
        ("*/deep/*.jpg,!*/thumbs/*", {"deep/b.jpg"}),
        ("*[[]1].jpg", {"odd [1].jpg"}),
        ("size>=1KB", set()),
        ("size<1KB, size > 0", set(KEYS)),
        ("age<1d", set(KEYS)),
        ("age>1d", set()),
        ("modified>=2020-01-01", set(KEYS)),
        ("modified<2020-01-01T00:00:00+02:00", set()),
    ],
)
def test_only_what_passes_is_listed_and_the_rest_is_counted_by_the_term(put, scan, bucket, text, expected):
    put(*(f"f/{key}" for key in KEYS), body=b"x" * 100)

    source = open_source(f"s3://{bucket}/f | {text}")
    table, tally = scan(source)

    assert {key.removeprefix("f/") for key in table["key"].to_pylist()} == expected
    assert tally.listed == len(KEYS)
    assert tally.ignored == len(KEYS) - len(expected)
    assert all(rule.startswith("filter ") for rule in tally.by_rule)
    assert open_source(source.uri) == source or "age" in text


def test_an_age_is_counted_from_now(put, scan, bucket):
    put("f/a.jpg")
    source = open_source(f"s3://{bucket}/f")
    assert len(scan(Filtered.parse(source, "age>1h", now=datetime(2100, 1, 1, tzinfo=UTC)))[0]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        " , ",
        "jpg",
        "size>many",
        "size>=10XB",
        "age<3",
        "age<99999999999w",
        "modified>soon",
        "!",
        "modified>=2026-13-01",
    ],
)
def test_a_term_that_cannot_be_read_is_refused_before_anything_is_listed(text):
    with pytest.raises(SourceError, match="filter"):
        open_source(f"s3://bucket/photos | {text}")


def test_a_size_that_the_source_does_not_tell_is_no_reason_to_guess(scan, tmp_path):
    listed = tmp_path / "keys.txt"
    listed.write_text("s3://photos/a.jpg\n")
    with pytest.raises(SourceError, match="tells no sizes"):
        scan(open_source(f"list:{listed} | size>5KB"))
